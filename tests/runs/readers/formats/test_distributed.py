import pickle

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

import trajlab
from tests.distributed_checkpoints import save_alone
from tests.runs.readers.formats.hostile import Thief, cut, flipped
from trajlab.errors import DamagedData, TrajlabError
from trajlab.runs.readers.distributed_metadata import read_shards

pytestmark = pytest.mark.filterwarnings("ignore")


def state(step):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + step / 100)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture
def folder(tmp_path):
    for step in (10, 20):
        model, optimizer = state(step)
        save_alone(
            {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / f"step-{step}"
        )
    return tmp_path


def test_open__the_network_without_its_optimizer(folder):
    run = trajlab.open(folder)
    assert run.steps.tolist() == [10, 20]
    for step in (10, 20):
        right = state(step)[0].state_dict()
        stored = run.at(step)
        assert list(stored) != [] and set(stored) == set(right)
        assert all(torch.equal(stored[name], value) for name, value in right.items())
    drift = trajlab.run("drift", run).compute()
    rows = [state(step)[0][0].weight.detach().numpy().ravel().astype(float) for step in (10, 20)]
    right = np.linalg.norm(rows[1] - rows[0])
    np.testing.assert_allclose(drift.distance_l2.sel(parameter="0.weight")[1], right, rtol=1e-12)


def test_open__half_precision_several_networks_and_a_step_in_the_file(tmp_path):
    for number, step in enumerate((300, 700)):
        content = {
            "actor": {"fc.weight": torch.full((2, 3), float(step)).bfloat16()},
            "critic": {"fc.weight": torch.full((1, 3), float(number))},
            "step": step,
        }
        save_alone(content, tmp_path / f"ckpt-{number}")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [300, 700] and list(run.weights) == ["actor.fc.weight", "critic.fc.weight"]
    assert run.weights["actor.fc.weight"].attrs["stored_dtype"] == "bfloat16"
    assert run.weights["critic.fc.weight"].values[:, 0, 0].tolist() == [0, 1]
    assert list(trajlab.open(tmp_path, key="critic").weights) == ["fc.weight"]


def shards_of(tmp_path, values, rows):
    """Write a tensor as shards of some rows, each in a file of its own, as several ranks do."""
    folder = tmp_path / "step-5"
    folder.mkdir(exist_ok=True)
    chunks, storage, start = [], {}, 0
    for rank, count in enumerate(rows):
        path = folder / f"__{rank}_0.distcp"
        torch.save(values[start : start + count].clone(), path)
        offset = torch.Size((start, 0))
        chunks.append(ChunkStorageMetadata(offset, torch.Size((count, values.shape[1]))))
        storage[MetadataIndex("w", offset)] = _StorageInfo(path.name, 0, path.stat().st_size)
        start += count
    described = {"w": TensorStorageMetadata(TensorProperties(dtype=values.dtype), values.shape, chunks)}
    return folder, Metadata(described, planner_data={"w": ("w",)}, storage_data=storage)


def test_open__a_tensor_in_shards_of_several_ranks(tmp_path):
    values = torch.arange(30.0).reshape(10, 3)
    folder, metadata = shards_of(tmp_path, values, (4, 4, 2))
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    assert torch.equal(torch.from_numpy(trajlab.open(tmp_path).weights["w"].values[0]), values)
    (folder / "__1_0.distcp").unlink()
    with pytest.raises(DamagedData, match=r"step 5: .*__1_0\.distcp is missing"):
        trajlab.open(tmp_path)


@pytest.mark.parametrize(
    ("entries", "words"), [(100_000, "bytes, its type and shape take"), (4, "it says torch.float16")]
)
def test_open__metadata_whose_element_type_is_not_that_of_the_shards(tmp_path, entries, words):
    folder, metadata = shards_of(tmp_path, torch.ones(entries, 1), (entries,))
    metadata.state_dict_metadata["w"].properties.dtype = torch.float16
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(DamagedData, match=rf"\.metadata.*__0_0\.distcp.*{words}"):
        trajlab.open(tmp_path).weights["w"].values  # noqa: B018


def test_open__shards_that_lie_outside_or_leave_gaps_are_refused(tmp_path):
    folder, metadata = shards_of(tmp_path, torch.ones(10, 3), (4, 6))
    for change in ("size", "name", "offset", "lost"):
        folder, metadata = shards_of(tmp_path, torch.ones(10, 3), (4, 6))
        tensor = metadata.state_dict_metadata["w"]
        first = next(iter(metadata.storage_data))
        if change == "size":
            tensor.size = torch.Size((11, 3))
        elif change == "name":
            metadata.storage_data[first].relative_path = "../../secret"
        elif change == "offset":
            metadata.storage_data[first].offset = 1 << 40
        else:
            del metadata.storage_data[first]
        (folder / ".metadata").write_bytes(pickle.dumps(metadata))
        with pytest.raises(DamagedData) as error:
            trajlab.open(tmp_path).weights["w"].values  # noqa: B018
        assert "\n" not in str(error.value) and ".metadata" in str(error.value), change


def test_open__data_never_runs_code(tmp_path):
    folder, metadata = shards_of(tmp_path, torch.ones(2, 3), (2,))
    thief = Thief(tmp_path / "trace")
    contents = [
        thief,
        {"a": thief},
        Metadata({}, planner_data=thief, storage_data={}),
        Metadata({}, storage_data={thief: 1}),
    ]
    for content in contents:
        (folder / ".metadata").write_bytes(pickle.dumps(content))
        with pytest.raises(DamagedData, match=r"step 5: .*\.metadata.*(posix|nt)\.system"):
            trajlab.open(tmp_path)
    torch.save({"w": thief}, folder / "__0_0.distcp")
    metadata.storage_data[next(iter(metadata.storage_data))].length = (folder / "__0_0.distcp").stat().st_size
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(DamagedData, match=r"\.metadata|\.distcp"):
        trajlab.open(tmp_path).weights["w"].values  # noqa: B018
    assert not (tmp_path / "trace").exists()


def test_read_shards__a_pickle_changes_no_class_of_torch():
    raw = (
        b"\x80\x02ctorch.distributed.checkpoint.metadata\nMetadata\n"
        b"N}X\x0c\x00\x00\x00planner_dataX\x06\x00\x00\x00stolens\x86b."
    )
    with pytest.raises(ValueError):
        read_shards(raw)
    assert Metadata.planner_data is None


@pytest.mark.parametrize(
    "name",
    [
        "builtins eval", "builtins setattr", "torch load", "torch.serialization load", "functools partial", "os system",
        "torch.distributed.checkpoint.filesystem FileSystemReader",
    ],
)  # fmt: skip
def test_read_shards__names_nothing_else(name):
    module, _, function = name.partition(" ")
    with pytest.raises(ValueError, match=f"{module}.{function}"):
        read_shards(f"c{module}\n{function}\n.".encode())


@pytest.mark.parametrize("module", ["builtins", "__builtin__"])
def test_read_shards__takes_attributes_of_records_for_members_of_enumerations_and_no_others(module):
    """Early versions of Python 3.11 pickle members of enumerations so."""
    metadata = b"ctorch.distributed.checkpoint.metadata\nTensorProperties\n"
    with pytest.raises(ValueError, match="it holds a TensorProperties, not Metadata"):
        read_shards(b"c" + module.encode() + b"\ngetattr\n(" + metadata + b"Vmember\ntR.")
    for other in (b"ctorch\nSize\n", b"ccollections\nOrderedDict\n", b"Vtext\n"):
        with pytest.raises(ValueError, match="an attribute of what is no enumeration"):
            read_shards(b"c" + module.encode() + b"\ngetattr\n(" + other + b"V__init__\ntR.")


def test_open__a_file_that_is_cut_off_or_changed_is_one_line(tmp_path, rng):
    folder, metadata = shards_of(tmp_path, torch.arange(30.0).reshape(10, 3), (4, 6))
    path = folder / ".metadata"
    path.write_bytes(pickle.dumps(metadata))
    for _ in cut(path):
        with pytest.raises(DamagedData, match=r"\.metadata"):
            trajlab.open(tmp_path)
    for file, times in ((path, 25), (folder / "__0_0.distcp", 10)):
        for _ in flipped(file, rng, times):
            try:
                run = trajlab.open(tmp_path)
                for name in run.weights:
                    run.weights[name].values  # noqa: B018
            except TrajlabError as error:
                assert "\n" not in str(error)
