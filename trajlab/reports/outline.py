"""Outline of the report: the question of each stage, in reading order, and the findings at the top."""

from itertools import groupby
from typing import NamedTuple

from trajlab.reports.findings.finding import Finding
from trajlab.reports.sections import Section, slug

QUESTIONS: dict[str, tuple[str, ...]] = {
    "How did training go?": ("learning_curves",),
    "Did anything go wrong?": ("alerts", "change_points"),
    "Did it learn?": ("evaluation",),
    "How did the weights move?": ("drift", "projection", "filters", "unit_lines"),
    "What did the weights become?": ("distribution", "spectrum"),
    "Which units live?": ("dead_neurons", "saturation"),
    "What do the layers represent?": (
        "features",
        "residual_stream",
        "routing",
        "embedding",
        "correlation",
        "augmentation",
    ),
    "What does the network look at?": ("attribution", "attention"),
    "What did the optimizer do?": ("optimizer_state",),
    "What do the gradients say?": ("gradient_statistics", "zero_gradients", "sign_flips", "channel_gradients"),
    "Did runs end in the same place?": ("comparison",),
}
"""Stages by question."""

WEIGHTS = "How did the weights move?"
"""Question to which a stage of gradients and weights belongs in a run without gradients."""

OTHERS = "Other results"
"""Heading of results whose stages ask no question."""

MOST = 7
"""Findings at the top."""

MOST_OF_A_SECTION = 2
"""Findings of a section among these."""


class Group(NamedTuple):
    """Sections that answer a question."""

    key: str
    title: str
    sections: list[Section]


Titled = tuple[str, Finding]
"""A finding with the title of its section."""


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
    """Group sections by question.

    Parameters
    ----------
    sections
        All sections, in the order of the page.
    """
    order = list(QUESTIONS)
    ranks = {asked: rank for rank, asked in enumerate(order)}
    sections = sorted(sections, key=lambda section: ranks.get(_asked(section), len(order)))
    return [
        Group(f"group-{slug(asked.lower().rstrip('?'))}", asked, list(members))
        for asked, members in groupby(sections, key=_asked)
    ]


def standing(sections: list[Section]) -> tuple[list[Titled], list[Titled]]:
    """Return the findings that stand out, at most `MOST`, and all others; each sentence once.

    Those that say that something is broken come first, then the most surprising, at most `MOST_OF_A_SECTION` of a
    section. Where no finding has an expectation, the first of each section follow in the order of the page.

    Parameters
    ----------
    sections
        All sections, in the order of the page.
    """
    by_text: dict[str, tuple[int, int, Titled]] = {}
    for number, section in enumerate(sections):
        for position, finding in enumerate(section.findings):
            by_text.setdefault(finding.text, (number, position, (section.title, finding)))
    ranked = sorted(by_text.values(), key=_rank)
    top: list[tuple[int, int, Titled]] = []
    for candidate in ranked:
        of_section = sum(number == candidate[0] for number, _, _ in top)
        if len(top) < MOST and (of_section < MOST_OF_A_SECTION or candidate[2][1].alarm):
            top.append(candidate)
    rest = [item for item in sorted(by_text.values(), key=lambda item: item[:2]) if item not in top]
    return [titled for _, _, titled in top], [titled for _, _, titled in rest]


def _rank(item: tuple[int, int, Titled]) -> tuple:
    number, position, (_, finding) = item
    surprise = finding.surprise if finding.surprise >= 1.0 else 0.0
    return not finding.alarm, -surprise, position, number


def _asked(section: Section) -> str:
    return WEIGHTS if section.of_weights else question(section.stage, section.question)
