"""Results of the example and their page."""

import pytest

import trajlab
from tests.reports.runs import STAGES
from trajlab.reports.page import report


@pytest.fixture
def results(example):
    return {name: trajlab.run(name, example).compute() for name in STAGES}


@pytest.fixture
def page(results, tmp_path):
    return report(results, tmp_path / "r.html").read_text()
