"""The networks that the studies train, one factory function each.

Every activation is a module with a name of its own, so that hooks find it. A run names its network in run.json
by factory and arguments, ``{"factory": "pipelines.zoo:lenet5", "arguments": {}}``.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from trajlab.errors import BadSetting

# The configurations of Simonyan and Zisserman's table 1, by their torchvision names.
_VGG_DEPTHS = {11: "A", 13: "B", 16: "D", 19: "E"}


def digits_cnn(in_channels: int = 1, num_classes: int = 10) -> nn.Module:
    """Small convolutional network for the 8x8 images of scikit-learn's digits (13,706 parameters)."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 16, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 32, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(32 * 2 * 2, 64),
            relu3=nn.ReLU(),
            fc2=nn.Linear(64, num_classes),
        )
    )


def lenet5(in_channels: int = 1, num_classes: int = 10, image_size: int = 28) -> nn.Module:
    """LeNet-5 with ReLU and max pooling, as it is used today (61,706 parameters on MNIST).

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998. The
    paper places its 28x28 digits in the middle of 32x32 images; here the first convolution pads them.

    Parameters
    ----------
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    image_size
        Height and width of the images, 28 or 32.
    """
    if image_size not in (28, 32):
        raise BadSetting(f"lenet5 was asked for image_size={image_size}; it takes 28 or 32")
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, 5, padding=(32 - image_size) // 2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * 5 * 5, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, num_classes),
        )
    )


def mlp(in_features: int = 2, hidden: int = 20, num_classes: int = 2) -> nn.Module:
    """Perceptron of one hidden layer, for points in the plane (102 parameters).

    Parameters
    ----------
    in_features
        Number of inputs.
    hidden
        Number of hidden units.
    num_classes
        Number of outputs.
    """
    return nn.Sequential(
        OrderedDict(fc1=nn.Linear(in_features, hidden), relu1=nn.ReLU(), fc2=nn.Linear(hidden, num_classes))
    )


def squeeze_mlp(widths: Sequence[int] = (784, 128, 64, 32, 64, 128, 10), batch_norm: bool = True) -> nn.Module:
    """Perceptron whose layers narrow and widen, with batch normalization and a ReLU after each but the last.

    Parameters
    ----------
    widths
        Number of inputs, of units of each layer, and of outputs.
    batch_norm
        Whether a batch normalization stands before each ReLU.
    """
    if len(widths) < 2:
        raise BadSetting(f"squeeze_mlp was asked for widths={list(widths)}; it takes inputs and outputs at least")
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (width, units) in enumerate(pairwise(widths), 1):
        layers[f"fc{number}"] = nn.Linear(width, units)
        if number < len(widths) - 1:
            if batch_norm:
                layers[f"norm{number}"] = nn.BatchNorm1d(units)
            layers[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(layers)


def mlp_batchnorm(in_features: int = 3 * 32 * 32, num_classes: int = 10) -> nn.Module:
    """Perceptron of four layers, 128-64-32 hidden units, batch normalization before each ReLU.

    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015.

    Parameters
    ----------
    in_features
        Number of inputs: 3,072 for 32x32 color images, 784 for MNIST.
    num_classes
        Number of outputs.
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(in_features, 128),
            norm1=nn.BatchNorm1d(128),
            relu1=nn.ReLU(),
            fc2=nn.Linear(128, 64),
            norm2=nn.BatchNorm1d(64),
            relu2=nn.ReLU(),
            fc3=nn.Linear(64, 32),
            norm3=nn.BatchNorm1d(32),
            relu3=nn.ReLU(),
            fc4=nn.Linear(32, num_classes),
        )
    )


def cnn(in_channels: int = 3, num_classes: int = 10, image_size: int = 32) -> nn.Module:
    """Three 3x3 convolutions of 16 channels, pooled after the first two, then a hidden layer of 512 units.

    Parameters
    ----------
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    image_size
        Height and width of the images; at 32 the hidden layer has 1,024 inputs.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 16, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 16, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(16, 16, 3, padding=1),
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * (image_size // 4) ** 2, 512),
            relu4=nn.ReLU(),
            fc2=nn.Linear(512, num_classes),
        )
    )


def pooled_cnn(in_channels: int = 3, num_classes: int = 10) -> nn.Module:
    """Three 3x3 convolutions of 16, 32 and 64 channels, the mean over positions, a linear layer (24,346 parameters).

    Each convolution has batch normalization, the first two a pool. The head is that of Lin, Chen and Yan, "Network in
    network", 2014, arXiv:1312.4400, and of ResNets: Grad-CAM of the last ReLU, whose maps are a quarter of the images
    in height and width, is then the exact share of each position in the logit, where it is above 0.

    Parameters
    ----------
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (before, after) in enumerate(pairwise((in_channels, 16, 32, 64)), 1):
        layers[f"conv{number}"] = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers[f"norm{number}"] = nn.BatchNorm2d(after)
        layers[f"relu{number}"] = nn.ReLU()
        if number < 3:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
    layers |= {"pool3": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(64, num_classes)}
    return nn.Sequential(layers)


def alexnet(in_channels: int = 3, num_classes: int = 10, hidden: int = 512) -> nn.Module:
    """Five convolutions and three linear layers in the manner of AlexNet, for 28x28 and 32x32 images.

    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012. Here the
    first convolutions are 5x5 and 3x3 of stride 1, and there is neither dropout nor local response normalization.

    Parameters
    ----------
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    hidden
        Units of each hidden linear layer; the paper has 4,096.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 64, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, stride=2, padding=1),
            conv2=nn.Conv2d(64, 192, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(3, stride=2, padding=1),
            conv3=nn.Conv2d(192, 384, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 256, 3, padding=1),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(256, 256, 3, padding=1),
            relu5=nn.ReLU(),
            pool3=nn.AdaptiveAvgPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(256 * 4, hidden),
            relu6=nn.ReLU(),
            fc2=nn.Linear(hidden, hidden),
            relu7=nn.ReLU(),
            fc3=nn.Linear(hidden, num_classes),
        )
    )


def twin(
    residual: bool = False, blocks: int = 9, width: int = 16, in_channels: int = 3, num_classes: int = 10
) -> nn.Module:
    """Deep narrow network without normalization, plain or with skip connections: 20 layers (42,378 parameters).

    Its layers are those of the plain and residual twins of He, Zhang, Ren and Sun, "Deep residual learning for image
    recognition", 2016, section 4.2, but of one width, so that no skip connection has weights: the twins start from the
    same weights and differ in nothing but the additions. The first convolution has stride 2; two pools follow later.

    Parameters
    ----------
    residual
        Whether the input of each block is added to what its two convolutions make of it.
    blocks
        Blocks of two convolutions.
    width
        Channels of all convolutions.
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    """
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(in_channels, width, 3, stride=2, padding=1), "relu": nn.ReLU()}
    for block in range(blocks):
        if block in (blocks // 3, 2 * blocks // 3):
            layers[f"pool{block}"] = nn.MaxPool2d(2)
        layers[f"block{block + 1}"] = _Block(width, residual)
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(width, num_classes)}
    return nn.Sequential(OrderedDict(layers))


class _Block(nn.Module):
    """Two convolutions, to which the input may be added."""

    def __init__(self, width: int, residual: bool):
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.relu2 = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found = self.conv2(self.relu1(self.conv1(inputs)))
        return self.relu2(inputs + found if self.residual else found)


def resnet18(stem: str = "imagenet", in_channels: int = 3, num_classes: int = 10, shortcuts: bool = True) -> nn.Module:
    """Torchvision's ResNet-18, with its own stem or with the one for 32x32 images.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016. The two ReLUs of a block are
    one module that is called twice.

    Parameters
    ----------
    stem
        ``imagenet``: a 7x7 convolution of stride 2, then a pool; ``cifar``: a 3x3 convolution of stride 1.
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    shortcuts
        Whether there are shortcuts; without them it is the paper's plain network of 18 layers.
    """
    import torchvision

    model = torchvision.models.resnet18(num_classes=num_classes)
    if not shortcuts:
        for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
            for position, block in enumerate(stage):
                stage[position] = _without_shortcut(block)
    if stem == "cifar":
        model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif stem == "imagenet":
        model.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    else:
        raise BadSetting(f"resnet18 has no stem {stem!r}; choose imagenet or cifar")
    return _out_of_place(model)


def vgg(
    depth: int = 16,
    batch_norm: bool = False,
    head: str = "imagenet",
    in_channels: int = 3,
    num_classes: int = 10,
    image_size: int = 32,
) -> nn.Module:
    """Torchvision's VGG, with its own head or with a single linear layer, which suits 32x32 images.

    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.

    Parameters
    ----------
    depth
        Number of layers with weights under the original head: 11, 13, 16 or 19.
    batch_norm
        Whether a batch normalization follows each convolution.
    head
        ``imagenet``: three linear layers on 7x7 maps, 120 million parameters, for images of any size;
        ``cifar``: one linear layer on the 512 channels that remain of a 32x32 image.
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    image_size
        Height and width of the images; those of 28 are padded to 32 by the first convolution, as five pools follow.
    """
    from torchvision.models.vgg import VGG, cfgs, make_layers

    if depth not in _VGG_DEPTHS:
        raise BadSetting(f"vgg was asked for depth={depth}; it has {', '.join(map(str, _VGG_DEPTHS))}")
    features = make_layers(cfgs[_VGG_DEPTHS[depth]], batch_norm=batch_norm)
    features[0] = nn.Conv2d(in_channels, 64, 3, padding=3 if image_size == 28 else 1)
    if head == "imagenet":
        model = VGG(features, num_classes=num_classes, init_weights=False)
    elif head == "cifar":
        model = nn.Sequential(
            OrderedDict(features=features, flatten=nn.Flatten(), classifier=nn.Linear(512, num_classes))
        )
    else:
        raise BadSetting(f"vgg has no head {head!r}; choose imagenet or cifar")
    return _out_of_place(model)


def _without_shortcut(block: Any) -> nn.Module:
    """Give a chain of the layers of a residual block, under the names that they have there."""
    return nn.Sequential(
        OrderedDict(
            conv1=block.conv1,
            bn1=block.bn1,
            relu1=nn.ReLU(),
            conv2=block.conv2,
            bn2=block.bn2,
            relu2=nn.ReLU(),
        )
    )


def _out_of_place(model: nn.Module) -> nn.Module:
    """Keep the ReLUs from writing over the output of the layer before them, which hooks hold on to."""
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model
