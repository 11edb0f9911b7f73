"""A network without weights of its own, run with the weights of any snapshot."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.replays.forward import Pass, Request
from trajlab.replays.keywords import masks_in
from trajlab.replays.torch_settings import alone
from trajlab.runs.disk.element_types import widen
from trajlab.runs.disk.rows import Rows
from trajlab.runs.tensors import module_of
from trajlab.statistics.tasks import Coding, coding_of


@dataclass(eq=False)
class Network:
    """A network to replay.

    Parameters
    ----------
    model
        The network; its parameters and stored buffers are on the device "meta" and have no values.
    names
        Names of the parameters and buffers that each task is given.
    batch
        Samples that go through it at once.
    device
        Where it runs.
    attention
        Modules whose attention, of each head, is wanted.
    prune, prune_relative, prune_only
        Entries of weights whose size is below the one, or below the other times the RMS of their tensor, are put to 0;
        no bias is. Only weights that match one of the patterns, if there are any, by their name or their module's.
    ends_in
        The softmax or sigmoid that it ends in; empty for none.
    keywords
        Keyword arguments of the network, (sample, …) each, such as the mask of padding.
    mode
        Mode of batch normalization: ``eval``, or ``train``, with the statistics of each sample by itself.
    """

    model: nn.Module
    names: tuple[str, ...]
    batch: int
    device: str
    attention: tuple[str, ...] = ()
    prune: float = 0.0
    prune_relative: float = 0.0
    prune_only: tuple[str, ...] = ()
    ends_in: str = ""
    keywords: Mapping[str, np.ndarray] = field(default_factory=dict)
    mode: str = "eval"

    def watched(
        self, inputs: np.ndarray, targets: np.ndarray | None, tables: Sequence[Any], rows: Sequence[int],
        requests: Sequence[Request],
    ) -> list[list[np.ndarray]]:  # fmt: skip
        """Run all inputs through the network with the weights of one step; return the results of each observer.

        Torch works on one thread here: steps run side by side instead, and how many threads there are never changes
        the last bits of a number. With an objective, there is a backward pass for it after each batch.

        Parameters
        ----------
        inputs, targets
            The probe, (sample, ...).
        tables, rows
            For each name a table of rows or an array, and which row of it to take.
        requests
            Observers and their layers.

        Raises
        ------
        BadSetting
            The network gave an output of another shape than in the trial.
        """
        with alone(self.device), np.errstate(all="ignore"):
            state = self._state(tables, rows)
            coding = Coding() if targets is None else coding_of(targets)
            run = Pass(
                self.model, state, requests, len(inputs), device=self.device, attention=self.attention, coding=coding,
                ends_in=self.ends_in, mode=self.mode,
                is_token={name: mask != 0 for name, mask in masks_in(self.keywords).items()},
            )  # fmt: skip
            for first in range(0, len(inputs), self.batch):
                some = slice(first, first + self.batch)
                keywords = {name: values[some] for name, values in self.keywords.items()}
                run.batch(first, inputs[some], None if targets is None else targets[some], keywords)
            return run.found()

    def _state(self, tables: Sequence[Any], rows: Sequence[int]) -> dict[str, torch.Tensor]:
        types = {name: value.dtype for name, value in self.model.state_dict().items() if torch.is_tensor(value)}
        weights = {name for name, value in self.model.named_parameters(remove_duplicate=False) if value.ndim > 1}
        if self.prune_only:
            weights = matching(weights, self.prune_only)
        state = {}
        for name, table, row in zip(self.names, tables, rows, strict=True):
            value = _tensor(table, row).to(types[name])
            state[name] = (self._pruned(value) if name in weights else value).to(self.device)
        return state

    def _pruned(self, value: torch.Tensor) -> torch.Tensor:
        """Set small entries to 0; relative to an RMS that is NaN none is small."""
        if self.prune > 0:
            value = value.masked_fill(value.abs() < self.prune, 0.0)
        if self.prune_relative > 0:
            rms = float(value.double().square().mean().sqrt())
            value = value.masked_fill(value.abs() < self.prune_relative * rms, 0.0)
        return value


def matching(parameters: Iterable[str], patterns: Sequence[str]) -> set[str]:
    """Return the parameters that a pattern matches, by their own name or that of their module.

    >>> sorted(matching(["conv1.weight", "fc.weight", "fc.bias"], ["conv*", "fc.w*"]))
    ['conv1.weight', 'fc.weight']
    """
    return {
        name
        for name in parameters
        if any(fnmatchcase(each, pattern) for each in (name, module_of(name)) for pattern in patterns)
    }


def check_prunable(parameters: Sequence[str], patterns: Sequence[str]) -> None:
    """Check that each pattern matches a parameter, as `matching` does.

    Raises
    ------
    BadSetting
        One matches none.
    """
    for pattern in patterns:
        if not matching(parameters, [pattern]):
            raise BadSetting(
                f"cannot prune {pattern!r}: the parameters are {', '.join(parameters)}; choose among these"
            )


def untouched(model: nn.Module) -> nn.Module:
    """Copy a network that no input has passed; it shares the values of parameters and stored buffers."""
    return copy.deepcopy(model, {id(value): value for value in model.state_dict(keep_vars=True).values()})


def hollow(model: nn.Module) -> nn.Module:
    """Move a network's parameters and stored buffers to the device meta, in place; ties and other buffers stay."""
    hollowed: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter not in hollowed:
                hollowed[parameter] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
            setattr(module, name, hollowed[parameter])
        for name, buffer in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            if name not in module._non_persistent_buffers_set:
                setattr(module, name, buffer.to("meta"))
    return model


def _tensor(table: Rows | np.ndarray, row: int) -> torch.Tensor:
    values = (table.load() if isinstance(table, Rows) else np.asarray(table))[row]
    return torch.from_numpy(np.array(widen(np.asarray(values))))
