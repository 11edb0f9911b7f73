"""What cannot be recorded, said before training begins."""

import torch
from torch import nn

from trajlab.errors import BadSetting
from trajlab.record.tensor_file import element_type


def check_recordable(model: nn.Module, tensors: dict[str, torch.Tensor], *, gradients: bool) -> None:
    """Raise BadSetting if a tensor of a model cannot be recorded.

    Parameters
    ----------
    model
        The model.
    tensors
        The parameters and buffers to record, by name.
    gradients
        Whether gradients are to be recorded.
    """
    stage = _zero_stage(model)
    if stage == 3 or any(hasattr(tensor, "ds_id") for tensor in tensors.values()):
        raise BadSetting(
            "cannot record under DeepSpeed's ZeRO-3: each process holds parts of the parameters; convert its "
            "checkpoints with zero_to_fp32.py and read those, or shard with torch's fully_shard"
        )
    if stage == 2 and gradients:
        raise BadSetting(
            "cannot record gradients under DeepSpeed's ZeRO-2: each process holds parts of them; record with "
            "gradients=False"
        )
    for path, module in model.named_modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise BadSetting(
                f"cannot record {path or 'the model'}: FullyShardedDataParallel holds flattened parts of parameters; "
                "shard with fully_shard (FSDP2), or read the checkpoints of torch.distributed"
            )
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise BadSetting(f"cannot record {name}: it is on the meta device, without values; materialize it first")
        if tensor.is_quantized:
            raise BadSetting(
                f"cannot record {name}: it is quantized ({tensor.dtype}); leave it out with Recorder(parameters=…)"
            )
        element_type(name, tensor.dtype)


def _zero_stage(model: nn.Module) -> int:
    stage = getattr(model, "zero_optimization_stage", None)
    return int(stage()) if callable(stage) else 0
