import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.replays.model_facts import factory_of, lacks_model, lacks_probe

WITHOUT_TORCH = """
import sys
import numpy as np, trajlab
from trajlab.errors import MissingData
run = trajlab.from_arrays({"w": np.random.default_rng(0).standard_normal((3, 4, 5))})
run.facts["config"] = {"architectures": ["LlamaForCausalLM"]}
trajlab.run("alerts", run).compute()
try:
    trajlab.run("features", run)
except MissingData as error:
    print(error)
print("torch" in sys.modules)
"""


def described(**facts):
    run = trajlab.from_arrays({"w": np.zeros((1, 2))})
    run.facts.update(facts)
    return run


def test_factory_of__is_the_one_that_run_json_names():
    model = {"factory": "torch.nn:Linear", "arguments": {"in_features": 2}}
    run = described(describe={"model": model})
    assert factory_of(run) == ("torch.nn:Linear", {"in_features": 2}) and not lacks_model(run)
    assert factory_of(described()) is None


@pytest.mark.parametrize(
    ("facts", "lacks"),
    [
        ({}, True),
        ({"config": {"architectures": ["LlamaForCausalLM"]}}, False),
        ({"config": {"architectures": ["LlamaForCausalLM"]}, "not_recorded": ["head.weight"]}, True),
    ],
)
def test_lacks_model__unless_the_facts_name_one(facts, lacks):
    assert lacks_model(described(**facts)) == lacks
    assert lacks_model(described(**facts).with_model(dict)) == ("not_recorded" in facts)


def test_lacks_probe__without_inputs():
    run = described()
    probe = xr.Dataset({"inputs": (("sample", "x"), np.zeros((4, 2)))})
    assert lacks_probe(run) and not lacks_probe(run.with_model(probe=probe))


def test_stages_of_a_run_without_a_probe_import_no_torch():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True, env=environment
    )
    assert "it has no probe" in done.stdout and done.stdout.split()[-1] == "False"
