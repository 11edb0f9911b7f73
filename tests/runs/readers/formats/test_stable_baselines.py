import base64
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

import trajlab
from tests.runs.readers.formats.hostile import Thief, cut, flipped
from tests.torch_positions import SAYS_POSITIONS
from trajlab.errors import DamagedData, TrajlabError
from trajlab.runs.disk.rows import Rows


def policy(step):
    return {"mlp.weight": torch.full((4, 3), float(step)), "mlp.bias": torch.arange(4.0) * step}


def saved(content, **keywords):
    raw = io.BytesIO()
    torch.save(content, raw, **keywords)
    return raw.getvalue()


def write(path, step, *, compression=zipfile.ZIP_STORED, weights=None, settings=None, **keywords):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("data", json.dumps({"num_timesteps": step} if settings is None else settings))
        archive.writestr("pytorch_variables.pth", saved({}))
        archive.writestr("policy.pth", saved(policy(step) if weights is None else weights, **keywords))
        archive.writestr("policy.optimizer.pth", saved({"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": []}))
        archive.writestr("_stable_baselines3_version", "2.3.0")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("new", [True, False])
def test_open__the_policy_and_the_number_of_its_timesteps(tmp_path, compression, new):
    for number, step in enumerate((1000, 2000)):
        write(tmp_path / f"model{number}.zip", step, compression=compression, _use_new_zipfile_serialization=new)
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1000, 2000] and list(run.weights) == ["mlp.weight", "mlp.bias"]
    assert run.weights["mlp.weight"].values[:, 0, 0].tolist() == [1000, 2000]
    np.testing.assert_array_equal(run.weights["mlp.bias"].values[1], np.arange(4.0) * 2000)
    in_place = SAYS_POSITIONS and new and compression == zipfile.ZIP_STORED
    assert isinstance(run.weights.series["mlp.bias"].values, Rows) == in_place


def test_open__nothing_beside_the_policy_is_unpickled(tmp_path):
    thief = Thief(tmp_path / "trace")
    stolen = base64.b64encode(pickle.dumps(thief)).decode()
    settings = {"num_timesteps": 7, "policy_class": {":type:": "x", ":serialized:": stolen}}
    write(tmp_path / "model_7.zip", 7, settings=settings)
    with zipfile.ZipFile(tmp_path / "model_7.zip", "a") as archive:
        archive.writestr("extra.pkl", pickle.dumps(thief))
    assert trajlab.open(tmp_path).steps.tolist() == [7]
    write(tmp_path / "model_7.zip", 7, weights={"w": torch.ones(2), "x": thief})
    with pytest.raises(DamagedData, match=r"model_7\.zip as weights only.*run code"):
        trajlab.open(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_open__another_zip_archive_beside_checkpoints_is_none(tmp_path):
    write(tmp_path / "model_7.zip", 7)
    with zipfile.ZipFile(tmp_path / "code_9.zip", "w") as archive:
        archive.writestr("main.py", "print()")
    assert trajlab.open(tmp_path).steps.tolist() == [7]
    (tmp_path / "model_7.zip").unlink()
    with pytest.raises(DamagedData, match=r"code_9\.zip: it holds no policy\.pth"):
        trajlab.open(tmp_path)


@pytest.mark.parametrize("settings", [[], {"num_timesteps": "x"}, {"num_timesteps": None}, {"num_timesteps": True}])
def test_open__settings_without_a_number_of_timesteps_leave_the_step_to_the_name(tmp_path, settings):
    write(tmp_path / "model_7.zip", 7, settings=settings)
    assert trajlab.open(tmp_path).steps.tolist() == [7]


def test_open__a_file_that_is_cut_off_or_changed_is_one_line(tmp_path, rng):
    path = tmp_path / "model_7.zip"
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        write(path, 7, compression=compression)
        for _ in cut(path):
            with pytest.raises(DamagedData, match=r"model_7\.zip"):
                trajlab.open(tmp_path)
        for _ in flipped(path, rng, 25):
            try:
                run = trajlab.open(tmp_path)
                for name in run.weights:
                    run.weights[name].values  # noqa: B018
            except TrajlabError as error:
                assert "\n" not in str(error)
