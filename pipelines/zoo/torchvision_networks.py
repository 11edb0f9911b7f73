"""ResNet-18 and VGG of torchvision, for small images."""

from collections import OrderedDict
from typing import Any

from torch import nn

from trajlab.errors import BadSetting

_VGG_CONFIGURATIONS = {11: "A", 13: "B", 16: "D", 19: "E"}
"""Columns of table 1 of Simonyan and Zisserman by number of layers, as torchvision names them."""


def resnet18(stem: str = "imagenet", in_channels: int = 3, num_classes: int = 10, shortcuts: bool = True) -> nn.Module:
    """Torchvision's ResNet-18, with its own stem or with the one for 32x32 images.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016. The two ReLUs of a block
    are one module that is called twice.

    Parameters
    ----------
    stem
        ``imagenet``: a 7x7 convolution with stride 2, then a pool; ``cifar``: a 3x3 convolution with stride 1.
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    shortcuts
        Whether blocks have shortcuts; without them this is the paper's plain network of 18 layers.
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
        raise BadSetting(f"cannot build resnet18 with stem {stem!r}: choose imagenet or cifar")
    return _out_of_place(model)


def vgg(
    depth: int = 16,
    batch_norm: bool = False,
    head: str = "imagenet",
    in_channels: int = 3,
    num_classes: int = 10,
    image_size: int = 32,
) -> nn.Module:
    """Torchvision's VGG, with its own head or with a single linear layer for 32x32 images.

    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.

    Parameters
    ----------
    depth
        Number of layers with weights under the original head: 11, 13, 16 or 19.
    batch_norm
        Whether batch normalization follows each convolution.
    head
        ``imagenet``: three linear layers on 7x7 maps, 120 million parameters, for images of any size;
        ``cifar``: one linear layer on the 512 channels that remain of a 32x32 image.
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    image_size
        Height and width of the images; the first convolution pads 28 to 32, because five pools follow.
    """
    from torchvision.models.vgg import VGG, cfgs, make_layers

    if depth not in _VGG_CONFIGURATIONS:
        raise BadSetting(f"cannot build vgg with depth={depth}: choose {', '.join(map(str, _VGG_CONFIGURATIONS))}")
    features = make_layers(cfgs[_VGG_CONFIGURATIONS[depth]], batch_norm=batch_norm)
    features[0] = nn.Conv2d(in_channels, 64, 3, padding=3 if image_size == 28 else 1)
    if head == "imagenet":
        model = VGG(features, num_classes=num_classes, init_weights=False)
    elif head == "cifar":
        model = nn.Sequential(
            OrderedDict(features=features, flatten=nn.Flatten(), classifier=nn.Linear(512, num_classes))
        )
    else:
        raise BadSetting(f"cannot build vgg with head {head!r}: choose imagenet or cifar")
    return _out_of_place(model)


def _without_shortcut(block: Any) -> nn.Module:
    """Return the layers of a residual block as a chain, under the same names."""
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
    """Make ReLUs keep the output of the layer before them, which hooks record."""
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model
