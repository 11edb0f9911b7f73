"""The networks that the studies train, a factory function each and a file for each family.

Every activation is a module of its own name, so that hooks find it. A run names its network in run.json by factory and
arguments, ``{"factory": "pipelines.zoo:lenet5", "arguments": {}}``: the names below must not change.
"""

from pipelines.zoo.convolutional import alexnet, cnn, digits_cnn, lenet5, pooled_cnn, valid_cnn
from pipelines.zoo.perceptrons import mlp, mlp_batchnorm, squeeze_mlp
from pipelines.zoo.torchvision_networks import resnet18, vgg
from pipelines.zoo.twins import twin

__all__ = [
    "alexnet",
    "cnn",
    "digits_cnn",
    "lenet5",
    "mlp",
    "mlp_batchnorm",
    "pooled_cnn",
    "resnet18",
    "squeeze_mlp",
    "twin",
    "valid_cnn",
    "vgg",
]
