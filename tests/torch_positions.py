"""Whether PyTorch says where the tensors of a file lie, so that they are read in place: from 2.11 on."""

import io

import torch

_file = io.BytesIO()
torch.save(torch.ones(1), _file)
_file.seek(0)
_loaded = torch.load(_file, map_location="meta", weights_only=True)

SAYS_POSITIONS = getattr(_loaded.untyped_storage(), "_checkpoint_offset", None) is not None
