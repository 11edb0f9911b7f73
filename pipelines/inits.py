"""Initialization of a network: eight schemes, each a function of a weight and a generator.

Weights of linear and convolution layers follow the scheme, and their biases are zero except with PyTorch's own scheme.
Normalization layers start at one and zero whatever the scheme. A run draws from its own generator, so equal seeds give
equal weights.
"""

import difflib
import math
from collections.abc import Callable

import torch
from torch import nn

from trajlab.errors import BadSetting

_WEIGHTED = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_NORMALIZING = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm | nn.GroupNorm


def kaiming_normal(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Draw from a normal of variance 2 / fan-in (He et al., "Delving deep into rectifiers", 2015)."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def kaiming_uniform(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Draw from a uniform of variance 2 / fan-in (He et al., 2015)."""
    nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)


def xavier_normal(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Draw from a normal of variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010)."""
    nn.init.xavier_normal_(weight, generator=generator)


def xavier_uniform(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Draw from a uniform of variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010)."""
    nn.init.xavier_uniform_(weight, generator=generator)


def pytorch(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Draw from a uniform of variance 1 / (3 fan-in), as layers of PyTorch do by default."""
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


def orthogonal(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Make the rows or columns of the matrix [out, rest] orthonormal (Saxe, McClelland and Ganguli, 2014)."""
    nn.init.orthogonal_(weight, generator=generator)


def ones(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Set all weights to one, so that all units of a layer stay equal."""
    nn.init.ones_(weight)


def zeros(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Set all weights to zero, so that only the bias of the last layer can learn."""
    nn.init.zeros_(weight)


SCHEMES: dict[str, Callable[[torch.Tensor, torch.Generator], None]] = {
    scheme.__name__: scheme
    for scheme in (kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform, pytorch, orthogonal, ones, zeros)
}

GAINED = ("xavier_normal", "xavier_uniform", "orthogonal")
"""Schemes that a gain multiplies; the others bring their own."""

RANDOM_BIASES = ("pytorch",)
"""Schemes that also draw the biases, from ±1/√fan-in; all others set them to zero."""


def initialize(model: nn.Module, scheme: str, seed: int, gain: float = 1.0) -> None:
    """Initialize all layers of a model, in place.

    Parameters
    ----------
    model
        A network of linear, convolution and normalization layers.
    scheme
        One of `SCHEMES`.
    seed
        Seed of the generator that all layers draw from, in network order.
    gain
        Factor of the weights of the schemes in `GAINED`, such as √2 for ReLU; the others have none.

    Raises
    ------
    BadSetting
        There is no such scheme, the gain is not a positive number, or a layer is of another kind.
    """
    if not 0 < gain < math.inf:
        raise BadSetting(f"cannot initialize with gain={gain}: choose a number above 0, such as 1 or 1.414")
    if scheme not in SCHEMES:
        close = difflib.get_close_matches(scheme, SCHEMES) or SCHEMES
        raise BadSetting(f"cannot initialize with {scheme!r}; did you mean {' or '.join(close)}?")
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, _WEIGHTED):
            SCHEMES[scheme](module.weight, generator)
            if scheme in GAINED:
                with torch.no_grad():
                    module.weight.mul_(gain)
            if module.bias is not None and scheme in RANDOM_BIASES:
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
            elif module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, _NORMALIZING):
            module.reset_parameters()
        elif list(module.parameters(recurse=False)):
            raise BadSetting(f"cannot initialize {name!r} ({type(module).__name__}); add its kind to pipelines.inits")
