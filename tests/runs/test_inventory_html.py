"""Runs as HTML."""

from html.parser import HTMLParser

import numpy as np

import trajlab


class Nesting(HTMLParser):
    """Collect the text, and check that what is opened is closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_a_run_shows_steps_sizes_and_tensors(example, no_compute):
    with no_compute():
        page = Nesting(example._repr_html_())
    text = "".join(page.words)

    assert not page.open
    assert "21, steps 0 to 20, every 1" in text
    assert "conv, 4 × 1 × 3 × 3, float32, 21 snapshots, 20 gradients" in text
    assert "kB" in text


def test_tensors_of_a_module_fold_and_names_are_escaped():
    names = [f"blocks.{block}.{name}" for block in range(8) for name in ("weight", "bias")] + ["<b>.x"]
    run = trajlab.from_arrays({name: np.zeros((2, 3)) for name in names})
    html = run._repr_html_()

    assert "<details><summary>blocks <span>16 tensors</span></summary>" in html
    assert "<summary>7 <span>2 tensors</span></summary>" in html
    assert "&lt;b&gt;.x" in html and "<b>.x" not in html
    assert not Nesting(html).open


def test_a_run_without_tensors():
    html = trajlab.from_arrays({})._repr_html_()
    assert not Nesting(html).open and "<details" not in html
