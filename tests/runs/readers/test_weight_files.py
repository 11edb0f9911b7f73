"""Which files of a checkpoint hold weights: several models, shards, and files that are something else."""

import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import trajlab
from trajlab.errors import DamagedData, MissingData


def net(scale, outputs=2):
    return {"fc.weight": torch.full((outputs, 3), float(scale)), "fc.bias": torch.zeros(outputs)}


def prefixed(*keys):
    return sorted(f"{key}.{name}" for key in keys for name in net(1))


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        (["model.safetensors", "model_1.safetensors"], ["model", "model_1"]),
        (["actor.safetensors", "critic.safetensors"], ["actor", "critic"]),
        (["unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"], ["unet", "vae"]),
        (["unet/a.safetensors", "text_encoder/model.safetensors", "text_encoder_2/model.safetensors"],
         ["unet", "text_encoder", "text_encoder_2"]),
    ],
)  # fmt: skip
def test_open__several_models_are_prefixed_by_file_or_folder(tmp_path, files, keys):
    for step in (1, 2):
        for number, name in enumerate(files):
            path = tmp_path / f"checkpoint-{step}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(net(step * 10**number), path)
        (tmp_path / f"checkpoint-{step}" / "scheduler").mkdir()
        torch.save({"state": {}, "param_groups": []}, tmp_path / f"checkpoint-{step}" / "optimizer.bin")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 2] and sorted(run.weights) == prefixed(*keys)
    for number, key in enumerate(keys):
        assert run.weights[f"{key}.fc.weight"].values[:, 0, 0].tolist() == [10**number, 2 * 10**number]
        assert trajlab.open(tmp_path, key=key).weights["fc.weight"].values[1, 0, 0] == 2 * 10**number


def test_open__variants_in_another_precision_are_one_model(tmp_path):
    folder = tmp_path / "checkpoint-1" / "unet"
    folder.mkdir(parents=True)
    save_file(net(1), folder / "diffusion_pytorch_model.safetensors")
    halves = {name: value.half() for name, value in net(1).items()}
    save_file(halves, folder / "diffusion_pytorch_model.fp16.safetensors")
    torch.save(net(1), folder / "diffusion_pytorch_model.bin")
    run = trajlab.open(tmp_path)
    assert set(run.weights) == set(net(1)) and run.weights["fc.weight"].attrs["stored_dtype"] == "float32"


def test_open__one_model_in_a_folder_of_its_own_has_no_prefix(tmp_path):
    for step in (1, 2):
        (tmp_path / f"checkpoint-{step}" / "unet").mkdir(parents=True)
        save_file(net(step), tmp_path / f"checkpoint-{step}" / "unet" / "model.safetensors")
    assert set(trajlab.open(tmp_path).weights) == set(net(1))


def test_open__shards_are_one_model_with_an_index_or_without(tmp_path):
    for step, indexed in ((1, True), (2, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        parts = {"model-00001-of-00002.safetensors": "fc.weight", "model-00002-of-00002.safetensors": "fc.bias"}
        for file, name in parts.items():
            save_file({name: net(step)[name]}, folder / file)
        if indexed:
            index = {"weight_map": {name: file for file, name in parts.items()}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    run = trajlab.open(tmp_path)
    assert set(run.weights) == set(net(1)) and run.steps.tolist() == [1, 2]


def test_open__slices_of_a_network_that_ranks_hold_are_refused(tmp_path):
    folder = tmp_path / "global_step5"
    folder.mkdir()
    for rank in (0, 1):
        torch.save({"module": net(rank)}, folder / f"mp_rank_0{rank}_model_states.pt")
    with pytest.raises(DamagedData, match=r"fc\.weight.*step 5.*merge"):
        trajlab.open(tmp_path)


@pytest.mark.parametrize("buffer", [{}, {"rotary.inv_freq": torch.ones(4)}])
@pytest.mark.parametrize("ranks", [1, 2])
def test_open__placeholders_of_zero_3_are_refused_with_the_way_out(tmp_path, buffer, ranks):
    for step in (0, 100):
        folder = tmp_path / f"global_step{step}"
        folder.mkdir()
        for rank in range(ranks):
            state = {"module": {name: torch.empty(0) for name in net(1)} | buffer, "global_steps": step}
            torch.save(state, folder / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
            torch.save({"optimizer_state_dict": {}}, folder / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    with pytest.raises(DamagedData, match=r"step 0: .*ZeRO stage 3.*zero_to_fp32\.py"):
        trajlab.open(tmp_path)


def test_open__placeholders_in_safetensors_are_refused_too(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    save_file({name: torch.empty(0) for name in net(1)}, tmp_path / "checkpoint-5" / "model.safetensors")
    with pytest.raises(DamagedData, match=r"zero_to_fp32\.py"):
        trajlab.open(tmp_path)


def test_open__one_empty_tensor_among_others_is_a_tensor(tmp_path):
    torch.save(net(1) | {"empty": torch.empty(0)}, tmp_path / "step1.pt")
    assert trajlab.open(tmp_path).weights["empty"].shape == (1, 0)


@pytest.mark.parametrize("suffix", [".pth.tar", ".pt.tar", ".ckpt.tar"])
def test_open__what_torch_saved_as_tar(tmp_path, suffix):
    for step in (1, 2):
        content = {"state_dict": net(step), "optimizer": {"state": {}, "param_groups": []}}
        torch.save(content, tmp_path / f"checkpoint-{step}{suffix}")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 2] and run.weights["fc.weight"].values[1, 0, 0] == 2


def test_open__a_folder_that_is_one_checkpoint_of_several_models(tmp_path):
    pipeline, state = tmp_path / "pipeline", tmp_path / "state"
    for model in ("unet", "vae"):
        (pipeline / model).mkdir(parents=True)
        save_file(net(1), pipeline / model / "diffusion_pytorch_model.safetensors")
    (pipeline / "model_index.json").write_text("{}")
    state.mkdir()
    save_file(net(1), state / "model.safetensors")
    save_file(net(2), state / "model_1.safetensors")
    assert sorted(trajlab.open(pipeline).weights) == prefixed("unet", "vae") and not trajlab.runs_in(pipeline)
    assert sorted(trajlab.open(state).weights) == prefixed("model", "model_1")
    assert trajlab.open(state).steps.tolist() == [0]


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 7\n"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz", ".zip", ".bin"])
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (LFS, "Git LFS.*git lfs pull"),
        (b"<!DOCTYPE html>\n<html><head>", "web page"),
        (b"\n  <HTML lang='en'>", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "XML"),
        (b'{"error":"Repository not found"}', "error message of a server"),
        (b"", "empty"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x1f\x8b\x08\0\0", "gunzip"),
    ],
)
def test_open__a_file_that_is_something_else_is_named(tmp_path, suffix, raw, words):
    (tmp_path / f"step1{suffix}").write_bytes(raw)
    with pytest.raises(DamagedData, match=rf"step1{suffix}: .*({words})") as error:
        trajlab.open(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("weights.{}.onnx", r"2 files \.onnx \(ONNX\)"),
        ("checkpoint_{}.msgpack", r"2 files \.msgpack \(Flax\)"),
        ("model.ckpt-{}.index", r"2 files \.index \(TensorFlow\)"),
        ("step{}.gguf", r"2 files \.gguf"),
        ("step{}.pkl", r"2 files \.pkl \(pickle\)"),
        ("step{}.npy", "savez"),
        ("step{}/saved_model.pb", r"2 files \.pb \(TensorFlow\)"),
        ("step-{}/__0_0.distcp", r"\.metadata"),
        ("step-{}.keras", "save_weights"),
    ],
)
def test_open__files_of_other_kinds_are_named_with_the_way_out(tmp_path, name, words):
    for step in (1, 2):
        path = tmp_path / name.format(step)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0" * 64)
    with pytest.raises(MissingData, match=words):
        trajlab.open(tmp_path)


def test_open__a_bin_that_is_no_torch_file(tmp_path):
    (tmp_path / "tokens_1.bin").write_bytes(np.arange(4000, dtype=np.uint16).tobytes())
    with pytest.raises(DamagedData, match=r"tokens_1\.bin.*no such file"):
        trajlab.open(tmp_path)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 1)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: {"model": model, "epoch": 3}])
@pytest.mark.parametrize("model", [Net, lambda: torch.nn.Sequential(torch.nn.Linear(2, 1))])
def test_open__a_whole_pickled_module_is_named(tmp_path, new, wrap, model):
    torch.save(wrap(model()), tmp_path / "step1.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(DamagedData, match=r"step1\.pt.*whole pickled module \(.*(Net|Sequential).*state_dict") as error:
        trajlab.open(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")
def test_open__a_torchscript_archive_is_named(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 1), torch.ones(1, 2)), str(tmp_path / "step1.pt"))
    with pytest.raises(DamagedData, match=r"step1\.pt.*TorchScript.*torch\.jit\.load"):
        trajlab.open(tmp_path)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ([], "no weight_map"),
        ({"weight_map": 3}, "no weight_map"),
        ({"weight_map": {"w": 3}}, "3 for 'w'"),
        ({"weight_map": {"w": "../x.safetensors"}}, r"'\.\./x\.safetensors' for 'w', which is no file beside it"),
        ({"weight_map": {"w": "/etc/passwd"}}, "'/etc/passwd'"),
        ({"weight_map": {"w": ".."}}, r"'\.\.'"),
        ({"weight_map": {"w": "x\0y"}}, "no file beside it"),
    ],
)
def test_open__an_index_that_names_no_files_beside_it(tmp_path, index, words):
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "x.safetensors").write_bytes(b"")
    (tmp_path / "checkpoint-1" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DamagedData, match=rf"model\.safetensors\.index\.json as the index of shards: .*{words}"):
        trajlab.open(tmp_path)


def test_open__a_header_that_states_more_than_its_file_can_hold(tmp_path):
    np.savez_compressed(tmp_path / "step1.npz", w=np.zeros((4, 4)))
    trajlab.open(tmp_path)
    with zipfile.ZipFile(tmp_path / "step1.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("w.npy", "w") as member:
            np.lib.format.write_array_header_1_0(
                member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
            )  # fmt: skip
    raw = bytearray((tmp_path / "step1.npz").read_bytes())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (0xFFFFFFFE).to_bytes(4, "little")
    (tmp_path / "step1.npz").write_bytes(raw)
    with pytest.raises(DamagedData, match=r"step1\.npz"):
        trajlab.open(tmp_path)


def test_open__an_expanded_tensor_of_a_terabyte(tmp_path):
    torch.save({"w": torch.ones(2), "mask": torch.ones(1).expand(1 << 40)}, tmp_path / "step1.pt")
    with pytest.raises(DamagedData, match=r"it states 4,398,046,511,104 bytes for 'mask'"):
        trajlab.open(tmp_path)
