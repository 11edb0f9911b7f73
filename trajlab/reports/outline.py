"""Outline of the report: the question of each stage, in reading order, and the findings at the top."""

from itertools import groupby
from typing import NamedTuple

from trajlab.reports.findings.finding import Finding
from trajlab.reports.sections import Section, slug

QUESTIONS: dict[str, tuple[str, ...]] = {
    "Did anything go wrong?": ("alerts", "change_points"),
    "Did it learn?": ("evaluation",),
    "How did the weights move?": ("drift", "projection", "filters", "unit_lines"),
    "What did the weights become?": ("distribution", "spectrum"),
    "Which units live?": ("dead_neurons", "saturation"),
    "What do the layers represent?": ("features", "embedding", "correlation", "augmentation"),
    "What does the network look at?": ("attribution",),
    "What do the gradients say?": ("gradient_statistics", "zero_gradients", "sign_flips", "channel_gradients"),
    "Did runs end in the same place?": ("comparison",),
}
"""Stages by question."""

WEIGHTS = "How did the weights move?"
"""Question to which a stage of gradients and weights belongs in a run without gradients."""

OTHERS = "Other results"
"""Heading of results whose stages ask no question."""

LINES = 12
"""Number of findings at the top: the first of each section, and second ones while there is room."""


class Group(NamedTuple):
    """Sections that answer a question, and their findings at the top, each with the title of its section."""

    key: str
    title: str
    sections: list[Section]
    telling: list[tuple[str, Finding]]


def rank(stage: str) -> int:
    """Return the place of a stage in the order of the page."""
    names = [name for stages in QUESTIONS.values() for name in stages]
    return names.index(stage) if stage in names else len(names)


def question(stage: str, stated: str = "") -> str:
    """Return the question that a stage helps to answer: of a stage that is not listed above, the one it asks itself.

    >>> question("drift"), question("norm", "how large is each layer?"), question("nameless")
    ('How did the weights move?', 'How large is each layer?', 'Other results')
    """
    listed = next((asked for asked, stages in QUESTIONS.items() if stage in stages), "")
    return listed or stated[:1].upper() + stated[1:] or OTHERS


def grouped(sections: list[Section]) -> list[Group]:
    """Group sections by question, and choose the findings at the top.

    Parameters
    ----------
    sections
        All sections, in the order of the page.
    """
    order = list(QUESTIONS)
    ranks = {asked: rank for rank, asked in enumerate(order)}
    sections = sorted(sections, key=lambda section: ranks.get(_asked(section), len(order)))
    calm = {section.key: [finding for finding in section.findings if not finding.alarm] for section in sections}
    room = LINES - sum(map(bool, calm.values()))
    groups = []
    for asked, members in groupby(sections, key=_asked):
        members_of, telling = list(members), []
        for section in members_of:
            two = len(calm[section.key]) > 1 and room > 0
            room -= two
            telling += [(section.title, finding) for finding in calm[section.key][: 1 + two]]
        groups.append(Group(f"group-{slug(asked.lower().rstrip('?'))}", asked, members_of, telling))
    return groups


def _asked(section: Section) -> str:
    return WEIGHTS if section.of_weights else question(section.stage, section.question)


def alarms(sections: list[Section]) -> list[tuple[str, Finding]]:
    """Return the alarms, each sentence once, with the title of the first section that has it."""
    first_of: dict[str, tuple[str, Finding]] = {}
    for section in sections:
        for finding in section.findings:
            if finding.alarm:
                first_of.setdefault(finding.text, (section.title, finding))
    return list(first_of.values())
