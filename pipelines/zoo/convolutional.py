"""Small convolutional networks, LeNet and AlexNet."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from trajlab.errors import BadSetting


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


def lenet5(
    in_channels: int = 1, num_classes: int = 10, image_size: int = 28, filters: Sequence[int] = (6, 16)
) -> nn.Module:
    """LeNet-5 with ReLU and max pooling, as is usual today (61,706 parameters on MNIST).

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998. The
    paper centers its 28x28 digits in 32x32 images; here the first convolution pads them.

    Parameters
    ----------
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    image_size
        Height and width of the images, 28 or 32.
    filters
        Filters of the first and of the second convolution; the paper has 6 and 16.
    """
    first, second = filters
    if image_size not in (28, 32):
        raise BadSetting(f"cannot build lenet5 for image_size={image_size}: choose 28 or 32")
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, first, 5, padding=(32 - image_size) // 2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(first, second, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(second * 5 * 5, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, num_classes),
        )
    )


def cnn(in_channels: int = 3, num_classes: int = 10, image_size: int = 32) -> nn.Module:
    """Three 3x3 convolutions of 16 channels, pooling after the first two, then a hidden layer of 512 units.

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


def valid_cnn(in_channels: int = 3, num_classes: int = 10) -> nn.Module:
    """Three 3x3 convolutions without padding (32, 64, 64 channels) and a hidden layer of 64 units, for 32x32 images.

    Pooling follows the first two convolutions. With color images it has 122,570 parameters.

    Parameters
    ----------
    in_channels
        Channels of the images.
    num_classes
        Number of outputs.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 32, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(64, 64, 3),
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64 * 4 * 4, 64),
            relu4=nn.ReLU(),
            fc2=nn.Linear(64, num_classes),
        )
    )


def pooled_cnn(in_channels: int = 3, num_classes: int = 10) -> nn.Module:
    """Three 3x3 convolutions (16, 32, 64 channels), global average pooling, a linear layer (24,346 parameters).

    Each convolution has batch normalization, the first two max pooling. The head is that of Lin, Chen and Yan, "Network
    in network", 2014, arXiv:1312.4400, and of ResNets. With it, Grad-CAM of the last ReLU is the exact contribution of
    each position to the logit, where that is positive. Its maps are a quarter of the images in height and width.

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
    first convolutions are 5x5 and 3x3 with stride 1; there is no dropout and no local response normalization.

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
