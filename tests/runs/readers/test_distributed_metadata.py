import dataclasses
import pickle
import warnings

import pytest
import torch
import torch.distributed.checkpoint as dcp

from trajlab.errors import MissingData
from trajlab.runs.readers.distributed_metadata import Shards, read_shards


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dcp")
    state = {"model": {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}, "step": 7}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=str(folder))
    return (folder / ".metadata").read_bytes()


def test_read_shards__say_where_the_bytes_of_each_tensor_lie(raw):
    shards = read_shards(raw)
    assert shards.tensors["model.w"] == ((2, 3), torch.float32) and shards.tensors["model.b"] == ((2,), torch.bfloat16)
    assert shards.chunks["model.w"] == [((0, 0), (2, 3))] and shards.paths["model.w"] == ("model", "w")
    ((at, index, (file, start, length), transforms),) = shards.spans["model.w"]
    assert (at, index, transforms) == ((0, 0), 0, ()) and start >= 0 and length > 24
    assert shards.files()[file] >= start + length and "step" in shards.objects
    assert shards.metadata_of("model.w").state_dict_metadata["model.w"].size == torch.Size([2, 3])


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Evil()), "builtins.print, which is not a part of such a file and is not run"),
        (pickle.dumps({"a": 1}), "it holds a dict, not Metadata"), (b"", None), (b"\x80\x04nonsense", None),
    ],
)  # fmt: skip
def test_read_shards__names_what_it_does_not_run(content, words, capsys):
    with pytest.raises(ValueError, match=words):
        read_shards(content)
    assert not capsys.readouterr().out


def test_read_shards__a_file_cut_short_is_a_value_error(raw):
    for stop in range(1, len(raw) - 1, len(raw) // 7):
        with pytest.raises(ValueError):
            read_shards(raw[:stop])


def test_metadata_of__shards_with_extensions_need_a_version_that_knows_them(monkeypatch):
    from torch.distributed.checkpoint import filesystem

    @dataclasses.dataclass
    class Old:
        relative_path: str
        offset: int
        length: int

    transformed, plain = [((0,), 0, ("a.distcp", 0, 8), ("zstd",))], [((0,), 0, ("a.distcp", 0, 8), ())]
    shards = Shards({"w": ((2,), torch.float32)}, {"w": transformed}, {"w": [((0,), (2,))]}, {}, {})
    monkeypatch.setattr(filesystem, "_StorageInfo", Old)
    with pytest.raises(MissingData, match="cannot read w with PyTorch .* install a newer version"):
        shards.metadata_of("w")
    shards.spans["w"] = plain
    (info,) = shards.metadata_of("w").storage_data.values()
    assert info == Old("a.distcp", 0, 8)
