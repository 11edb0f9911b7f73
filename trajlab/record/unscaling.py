"""What a GradScaler has multiplied the gradients with, and not yet divided out."""

from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.amp import GradScaler
from torch.amp.grad_scaler import OptState
from torch.optim import Optimizer


def loss_scales(
    scaler: GradScaler | None, optimizers: Iterable[Optimizer], parameters: Mapping[str, Tensor]
) -> dict[str, float]:
    """Find the factors that the gradients still carry.

    Parameters
    ----------
    scaler
        What scales the loss, if anything does.
    optimizers
        The optimizers, when there are several and ``unscale_`` was called for only some of them. Without them,
        one call is taken to have unscaled all gradients.
    parameters
        Name to parameter.

    Returns
    -------
    Name to factor, of the parameters whose gradients are still scaled.
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
