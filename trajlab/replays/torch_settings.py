"""Settings of torch during passes, shared by the threads that run them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch


class _Settings:
    """Limit torch to one thread and to the plain path of attention, while any thread is inside.

    The fast path of torch's encoder layers passes by the modules that hooks listen to. The last thread out leaves the
    settings as they were.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.usual = (1, True)

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.usual = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
            self.inside += 1
            torch.set_num_threads(1)
            torch.backends.mha.set_fastpath_enabled(False)

    def __exit__(self, *failure: Any) -> None:
        with self.lock:
            self.inside -= 1
            torch.set_num_threads(self.usual[0])
            if not self.inside:
                torch.backends.mha.set_fastpath_enabled(self.usual[1])


settings = _Settings()
_one_at_a_time = threading.Lock()


@contextmanager
def alone(device: str) -> Iterator[None]:
    """Hold the settings; on an accelerator, whose memory is scarce, for one pass at a time."""
    with nullcontext() if device == "cpu" else _one_at_a_time, settings:
        yield
