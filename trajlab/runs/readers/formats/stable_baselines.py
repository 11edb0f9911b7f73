"""Stable-Baselines3's .zip files: the state dict of the policy; nothing else in them is unpickled."""

import zipfile
from contextlib import AbstractContextManager
from typing import IO, Any

import numpy as np

from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import open_bytes
from trajlab.runs.disk.zip_members import Member, open_member, read_members
from trajlab.runs.readers.counters import as_count
from trajlab.runs.readers.formats import Header
from trajlab.runs.readers.state_dicts import Content, find_networks
from trajlab.runs.readers.torch_loading import header_of, load_weights_only, values_of

SUFFIXES = (".zip",)

POLICY, SETTINGS = "policy.pth", "data"
"""Members with the weights of the policy, and with the settings of the algorithm as JSON."""

MOST_SETTINGS = 100_000_000
"""Most bytes of the settings that are read."""


def read_header(path: str, cache: dict[Any, Any] | None = None) -> Header:
    """Read what the policy of a Stable-Baselines3 model holds, and the number of its timesteps.

    Raises
    ------
    DamagedData
        The file is cut off, or its policy could only be unpickled by running code.
    """
    with _reading(path), open_bytes(path) as file:
        members = read_members(file)
        if POLICY not in members:
            return Header({}, {}, holds=f"no {POLICY} of Stable-Baselines3")
        content, start = _policy(file, members, path, "meta")
        return header_of(content, load_tensor, metadata=_counters(file, members), start=start)


def load_tensor(path: str, name: str) -> np.ndarray:
    """Load one tensor of a policy that cannot be mapped."""
    with _reading(path), open_bytes(path) as file:
        content, _ = _policy(file, read_members(file), path, "cpu")
    return values_of(content, path, name)


def _policy(file: IO[bytes], members: dict[str, Member], path: str, device: str) -> tuple[Content, int | None]:
    """Return the networks of the policy, and where it begins in the file if its tensors can be mapped."""
    with open_member(file, members, POLICY) as policy:
        mapped = zipfile.is_zipfile(policy)
        content = find_networks(load_weights_only(policy, path, device))
    return content, members[POLICY].start if mapped else None


def _counters(file: IO[bytes], members: dict[str, Member]) -> dict[str, str]:
    """Return the number of timesteps in the settings, which are text; pickles in them stay text."""
    if SETTINGS not in members or members[SETTINGS].size > MOST_SETTINGS:
        return {}
    with open_member(file, members, SETTINGS) as raw:
        try:
            settings = parse_json(raw.read())
        except ValueError:
            return {}
    steps = settings.get("num_timesteps") if isinstance(settings, dict) else None
    count = as_count(steps)
    return {} if count is None else {"num_timesteps": str(count)}


def _reading(path: str) -> AbstractContextManager[None]:
    remedy = "it is damaged or was cut off while being written, so restore it or move it out of the folder"
    return reading(path, remedy, form="a model of Stable-Baselines3")
