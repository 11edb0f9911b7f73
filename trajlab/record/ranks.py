"""Which process of a distributed training this is."""

import os

import torch.distributed as dist


def rank_and_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; (0, 1) outside of distributed training.

    Before ``init_process_group`` they come from the environment, as torchrun sets it.
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    try:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1
