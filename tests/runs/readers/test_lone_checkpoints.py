import pytest

from trajlab.runs.readers.lone_checkpoints import is_checkpoint


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([".metadata", "__0_0.distcp"], True),
        (["model.safetensors", "model_1.safetensors"], True),
        (["model.safetensors", "model_2.safetensors"], False),
        (["model_1.safetensors", "model_2.safetensors"], False),
        (["model.safetensors"], False),
        (["model.safetensors", "other.safetensors"], False),
        (
            ["model_index.json", "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"],
            True,
        ),
        ([], False),
    ],
)
def test_is_checkpoint__of_several_files_that_belong_together(tmp_path, names, expected):
    assert is_checkpoint(make(tmp_path, *names)) is expected
