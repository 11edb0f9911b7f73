"""Kinds and unit axes, against the modules of transformers' and torch's own models."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

import trajlab
from trajlab.runs.tensor_kinds import is_of_experts, layout_of

transformers = pytest.importorskip("transformers")
from transformers.pytorch_utils import Conv1D  # noqa: E402

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
CONFIGS = {
    "gpt2": lambda: transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=40, n_positions=12),
    "llama": lambda: transformers.LlamaConfig(vocab_size=40, **SMALL),
    "mixtral": lambda: transformers.MixtralConfig(vocab_size=40, num_local_experts=4, num_key_value_heads=2, **SMALL),
    "vit": lambda: transformers.ViTConfig(image_size=8, patch_size=4, **SMALL),
}


def model_of(name):
    config = CONFIGS[name]()
    if name == "vit":
        return transformers.ViTForImageClassification(config)
    return transformers.AutoModelForCausalLM.from_config(config)


def layout_of_module(module, leaf, value):
    """Kind and number of units as the module itself says."""
    if leaf == "bias":
        return "bias", len(value)
    if isinstance(module, nn.Embedding):
        return "embedding", module.num_embeddings
    if isinstance(module, Conv1D):
        return "linear", module.nf
    if isinstance(module, nn.Linear):
        return "linear", module.out_features
    if isinstance(module, nn.Conv2d):
        return "conv", module.out_channels
    return ("norm", len(value)) if "Norm" in type(module).__name__ else None


@pytest.mark.parametrize("with_config", [True, False])
@pytest.mark.parametrize("name", CONFIGS)
def test_layout_of__is_what_the_modules_of_transformers_say(name, with_config):
    model = model_of(name)
    shapes = {key: tuple(value.shape) for key, value in model.named_parameters()}
    compared = 0
    for key, value in model.named_parameters():
        path, _, leaf = key.rpartition(".")
        expected = layout_of_module(model.get_submodule(path), leaf, value)
        if expected is None:
            continue
        compared += 1
        for module_class in ("", type(model.get_submodule(path)).__name__):
            layout = layout_of(key, shapes, module_class, name if with_config else "")
            units = np.prod([value.shape[axis] for axis in layout.unit_axes])
            assert (layout.kind, units) == expected, (key, layout)
            if isinstance(model.get_submodule(path), Conv1D) and leaf == "weight":
                assert layout.dims == ("in", "out")
    assert compared > 10


@pytest.mark.parametrize(
    ("name", "shape", "module", "kind"),
    [("a.bias_ih", (2,), "LSTM", "bias"), ("a.weight", (2, 2), "", "linear"), ("a.weight", (2,), "", "norm"),
     ("scale", (), "", "other"), ("e.weight", (2, 2), "Embedding", "embedding"), ("c.weight", (1,) * 4, "", "conv"),
     ("w", (2, 2), "ConvTranspose1d", "conv"), ("w", (1,) * 6, "ConvTranspose4d", "conv")],
)  # fmt: skip
def test_layout_of__kinds_go_by_name_class_and_shape(name, shape, module, kind):
    assert layout_of(name, {name: shape}, module).kind == kind


def test_layout_of__a_conv1d_of_nanogpt_is_a_linear_module():
    shapes = {"h.0.attn.c_attn.weight": (48, 16), "h.0.attn.c_attn.bias": (48,), "h.0.attn.c_proj.weight": (16, 16)}
    assert layout_of("h.0.attn.c_attn.weight", shapes).unit_axes == (0,)
    assert layout_of("h.0.attn.c_proj.weight", shapes).unit_axes == (0,)


def test_layout_of__tokens_and_positions_are_no_convolutions():
    shapes = {"vit.cls_token": (1, 1, 8), "pos_embed": (1, 65, 8), "patch_embed.proj.weight": (8, 3, 4, 4)}
    assert layout_of("vit.cls_token", shapes).kind == layout_of("pos_embed", shapes, "VisionTransformer").kind
    assert layout_of("pos_embed", shapes).kind == "embedding"
    assert layout_of("patch_embed.proj.weight", shapes).kind == "conv"


def test_layout_of__experts_are_matrices():
    model = model_of("mixtral")
    shapes = {key: tuple(value.shape) for key, value in model.named_parameters()}
    experts = {key: layout_of(key, shapes) for key in shapes if is_of_experts(key)}
    if not experts:
        pytest.skip("this version of transformers keeps the weights of experts apart")
    assert len(experts) == 4
    for key, layout in experts.items():
        assert (layout.kind, layout.dims) == ("linear", ("expert", "out", "in")), key
    biased = {"mlp.experts.gate_up_proj": (4, 8, 32), "mlp.experts.gate_up_proj_bias": (4, 32)}
    assert layout_of("mlp.experts.gate_up_proj", biased).dims == ("expert", "in", "out")
    assert layout_of("mlp.experts.gate_up_proj_bias", biased) == ("bias", ("expert", "out"))


def test_units__columns_of_a_conv1d_are_units_with_and_without_sampling(rng):
    """A unit of an (in, out) matrix without a gradient is found dead, also in a sample of entries."""
    gradient = rng.normal(size=(3, 4, 6)).astype(np.float32)
    gradient[..., 2] = 0
    run = trajlab.from_arrays(
        {"c_fc.weight": rng.normal(size=(3, 4, 6)), "c_fc.bias": np.ones((3, 6))}, {"c_fc.weight": gradient}
    )
    result = trajlab.run("dead_neurons", run, window=1).compute()
    assert result.units.values.tolist() == [6]
    np.testing.assert_array_equal(result.gradient_dead[0, 0], [0, 0, 1, 0, 0, 0])
    causes = trajlab.run("zero_gradients", run).compute().always_zero.sel(parameter="c_fc.weight")
    assert causes.sel(cause="dead_unit") == 4 and causes.sum() == 4


def test_spectrum__of_experts_is_that_of_each_matrix(rng, checkpoints):
    experts = rng.normal(size=(2, 3, 6, 4)).astype(np.float32)
    folder = checkpoints({"mlp.experts.up_proj": experts, "gate.weight": rng.normal(size=(2, 3, 4))}, steps=[1, 2])
    for run in (trajlab.open(folder), trajlab.from_arrays({"mlp.experts.up_proj": experts})):
        result = trajlab.run("spectrum", run, shuffle=False).compute()
        for expert in range(3):
            row = result.sel(parameter=f"mlp.experts.up_proj[{expert}]")
            assert row.expert == expert and row.rows == 6
            expected = np.linalg.svd(experts[:, expert].astype(np.float64), compute_uv=False)
            np.testing.assert_allclose(row.singular_values.dropna("component"), expected, rtol=1e-6)
    drift = trajlab.run("drift", trajlab.open(folder)).compute()
    assert drift.kind.values.tolist() == ["linear", "linear"]


def test_open__reads_the_architecture_from_config_json(tmp_path):
    model = model_of("gpt2")
    state = {key: value.detach().numpy() for key, value in model.named_parameters()}
    for step in (1, 2):
        target = tmp_path / f"checkpoint-{step}"
        model.config.save_pretrained(target)
        save_file({key: value for key, value in state.items() if "bias" not in key}, target / "model.safetensors")
    run = trajlab.open(tmp_path)
    assert run.facts["config"]["model_type"] == "gpt2"
    array = run.weights["transformer.h.0.attn.c_proj.weight"]
    assert array.dims == ("step", "in", "out") and array.attrs["unit_axes"] == [1]
    assert run.weights["transformer.wte.weight"].dims == ("step", "token", "feature")


def test_pack__keeps_the_names_of_the_axes(tmp_path, rng):
    run = trajlab.from_arrays({"c_fc.weight": rng.normal(size=(2, 4, 6)), "c_fc.bias": np.ones((2, 6))})
    trajlab.pack(run, tmp_path / "run.zarr")
    assert trajlab.open(tmp_path / "run.zarr").weights["c_fc.weight"].dims == ("step", "in", "out")


def test_recorded__the_class_of_a_module_tells(tmp_path):
    model = nn.Sequential(Conv1D(6, 6), nn.ReLU(), nn.ConvTranspose2d(1, 2, 3))
    with trajlab.Recorder(model, tmp_path / "run", gradients=False) as recorder:
        recorder.step(loss=torch.tensor(0.0))
    weights = trajlab.open(tmp_path / "run").weights
    assert weights["0.weight"].dims == ("step", "in", "out")
    assert weights["2.weight"].attrs["unit_axes"] == [1]
