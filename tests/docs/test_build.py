"""The documentation builds, with all of its code, and can be read offline."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FROM_ELSEWHERE = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?:\w+:)?//")

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-b", "html", DOCS, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 80
    for page in pages:
        assert not FROM_ELSEWHERE.search(page.read_text(encoding="utf-8")), page
    tutorial = (tmp_path / "tutorials" / "optimizers.html").read_text(encoding="utf-8")
    assert tutorial.count("<img") >= 3, "its figures"
