"""RankCollapse: a matrix that loses rank."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def rank_collapse(rank: np.ndarray, *, rank_collapse_share: float) -> Verdict:
    """Fire where the rank of a matrix is below a share of its first known one; one alone is not checked.

    Parameters
    ----------
    rank
        Effective or stable rank, (step).
    rank_collapse_share
        The share.
    """
    ranks = rank[np.isfinite(rank)]
    remaining = rank / (ranks[0] if ranks.size > 1 else np.nan)
    return Verdict(remaining, remaining < rank_collapse_share)


RULE = Rule("RankCollapse", "weights of two dims or more", (rank_collapse,))
