"""Runs, and the text of pages, that tests of the report share."""

import re
from html import unescape

import numpy as np

import trajlab
from trajlab.reports.findings import findings

STAGES = ("drift", "distribution", "spectrum", "projection", "zero_gradients", "sign_flips", "dead_neurons")


def moving(steps, **speeds):
    """Layers of ones that move along a line by so much in all."""
    line = np.linspace(0, 1, steps)[:, None, None]
    return trajlab.from_arrays({name: 1.0 + line * speed * np.ones((1, 4, 4)) for name, speed in speeds.items()})


def named(run, **facts):
    run.facts["describe"] = facts
    return run


def plain(page):
    return unescape(re.sub(r"<[^>]+>", "", page)).replace("\xa0", " ")


def said(result):
    return [finding.text for finding in findings(result)]
