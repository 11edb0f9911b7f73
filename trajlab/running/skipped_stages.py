"""Which stages a run cannot serve, and why, in one line."""

from collections.abc import Mapping

from trajlab.errors import MissingInput, TrajlabError
from trajlab.statistics.wording import count


def skipped_stages(errors: Mapping[str, TrajlabError], stages: int) -> str:
    """Return one line that names the stages that are skipped, by reason.

    Parameters
    ----------
    errors
        What each of them raised, by name.
    stages
        Number of all stages.

    Examples
    --------
    >>> skipped_stages({"zero_gradients": MissingInput("zero_gradients needs …", "there are no gradients")}, 20)
    '1 of 20 stages is left out: zero_gradients (there are no gradients)'
    """
    names_of: dict[str, list[str]] = {}
    for name, error in errors.items():
        names_of.setdefault(_reason(error), []).append(name)
    groups = [f"{', '.join(names)} ({reason})" for reason, names in names_of.items()]
    return (
        f"{len(errors)} of {count(stages, 'stage')} {'is' if len(errors) == 1 else 'are'} left out: {'; '.join(groups)}"
    )


def _reason(error: TrajlabError) -> str:
    """Return the reason of an error without what cannot be done and without the remedy."""
    if isinstance(error, MissingInput):
        return error.reason
    words = " ".join(str(error).split())
    return words.partition(": ")[2].partition("; ")[0] or words
