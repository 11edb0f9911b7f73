"""The questions of the tutorial, asked of a small study."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml

import trajlab
from pipelines import train
from trajlab.running.compute import write

ROOT = Path(__file__).parent.parent
STAGES = ("drift", "distribution", "dead_neurons", "zero_gradients", "sign_flips", "filters")


class Question(NamedTuple):
    """A question, and the code that answers it."""

    text: str
    code: str


def read() -> list[Question]:
    page = (ROOT / "docs" / "tutorials" / "ask_the_data.md").read_text()
    return [Question(*actual) for actual in re.findall(r"([^\n]+)\n\n```python\n(.*?)```\n", page, re.DOTALL)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder as `make demo` leaves it, of runs that are shorter."""
    folder = tmp_path_factory.mktemp("demo")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["studies"]["digits"]["training"] |= {"steps": 60}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    data, threads = folder / "data", torch.get_num_threads()
    runs = {}
    for init in params["studies"]["digits"]["inits"]:
        for optimizer in params["studies"]["digits"]["optimizers"]:
            train.main("digits", init, optimizer, 0, data=data, params=folder / "params.yaml")
            name = f"{init}-{optimizer}-0"
            run = trajlab.open(data / "snapshots" / "digits" / name)
            runs[name] = trajlab.open(trajlab.pack(run, data / "runs" / "digits" / f"{name}.zarr"))
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")
    results = data / "results" / "digits"
    write({results / f"{name}.zarr": trajlab.run(name, runs, **params["stages"][name]) for name in STAGES})
    return folder


@pytest.fixture(scope="module")
def names(study):
    """What the first block of the section defines."""
    found: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study)
        exec(read()[0].code, found)
    return found


def test_it_asks_twelve_questions_and_answers_each():
    first, *questions = read()

    assert len(questions) >= 12
    assert all(question.text.endswith("?") for question in questions)
    assert all(re.search(r"\n# \S.*\S\n$", question.code) for question in questions)


@pytest.mark.parametrize("question", read()[1:], ids=lambda question: question.text)
def test_the_code_answers_the_question(study, names, monkeypatch, question):
    monkeypatch.chdir(study)
    *lines, last = ast.parse(question.code).body
    assert isinstance(last, ast.Expr), "the last line is to show something"

    own = dict(names)
    exec(compile(ast.Module(lines, []), question.text, "exec"), own)
    answer = eval(compile(ast.Expression(last.value), question.text, "eval"), own)

    assert np.isfinite(np.asarray(answer, float)).any()
