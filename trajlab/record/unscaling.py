"""The factors by which a GradScaler has scaled the gradients and not yet unscaled them."""

from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.amp import GradScaler
from torch.amp.grad_scaler import OptState
from torch.optim import Optimizer


def loss_scales(
    scaler: GradScaler | None, optimizers: Iterable[Optimizer], parameters: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return the factors by which gradients are still scaled.

    Parameters
    ----------
    scaler
        The scaler of the loss, if there is one.
    optimizers
        The optimizers, when there are several and ``unscale_`` was called for only some of them. Without them,
        one call counts for all gradients.
    parameters
        Parameters by name.

    Returns
    -------
    Factors by the names of the parameters whose gradients are still scaled.
    """
    if scaler is None or not scaler.is_enabled():
        return {}
    states = scaler._per_optimizer_states
    unscaled = {key for key, state in states.items() if state["stage"] is not OptState.READY}
    if not unscaled:
        done = set()
    elif optimizers := list(optimizers):
        groups = [group for optimizer in optimizers if id(optimizer) in unscaled for group in optimizer.param_groups]
        done = {id(parameter) for group in groups for parameter in group["params"]}
    else:
        return {}
    scale = scaler.get_scale()
    return {name: scale for name, parameter in parameters.items() if id(parameter) not in done}
