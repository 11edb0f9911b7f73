"""UnchangedTensor: weights that stay the same from one recorded step to the next."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def unchanged_tensor(not_close: np.ndarray, entries: np.ndarray, *, unchanged_tensor_num_steps: int) -> Verdict:
    """Fire where the last n recorded tensors are each close to the one before; one alone is not checked.

    Parameters
    ----------
    not_close
        Number of entries that differ from the recorded step before by more than the tolerances, (step); NaN at the
        first.
    entries
        Number of entries, (step).
    unchanged_tensor_num_steps
        n, the current step included.
    """
    in_a_row = np.ones(not_close.shape)
    for i in range(1, not_close.size):
        in_a_row[i] = in_a_row[i - 1] + 1 if not_close[i] == 0 else 1
    value = np.where((entries > 0) & (not_close.size > 1), in_a_row, np.nan)
    return Verdict(value, value >= unchanged_tensor_num_steps)


RULE = Rule("UnchangedTensor", "weights", (unchanged_tensor,), {"unchanged_tensor_num_steps": 2})
