"""What tests of the documentation share: its extensions can be imported."""

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(autouse=True)
def extensions(monkeypatch):
    for folder in (DOCS, DOCS / "extensions"):
        monkeypatch.syspath_prepend(folder)
    yield
    for name in ("command_pages", "experiment_pages", "markdown_text", "peak", "stage_pages", "text_weights"):
        sys.modules.pop(name, None)
