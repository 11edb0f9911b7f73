import pytest
import torch
from torch import nn

from pipelines import zoo
from trajlab.errors import BadSetting

NETWORKS = [
    # factory, arguments, shape of an image, number of parameters
    ("digits_cnn", {}, (1, 8, 8), 13_706),
    ("lenet5", {}, (1, 28, 28), 61_706),
    ("lenet5", {"in_channels": 3, "image_size": 32}, (3, 32, 32), 62_006),
    ("lenet5", {"filters": [32, 64]}, (1, 28, 28), 255_230),
    ("valid_cnn", {}, (3, 32, 32), 122_570),
    ("squeeze_mlp", {"widths": [3072, 8, 1024, 8, 512, 8, 256, 10]}, (3, 32, 32), 59_218),
    ("squeeze_mlp", {"widths": [3072, 2, 1024, 2, 512, 2, 256, 10]}, (3, 32, 32), 20_764),
    ("mlp_batchnorm", {}, (3, 32, 32), 404_458),
    ("mlp_batchnorm", {"in_features": 784}, (1, 28, 28), 111_594),
    ("cnn", {}, (3, 32, 32), 535_018),
    ("cnn", {"in_channels": 1, "image_size": 28}, (1, 28, 28), 411_850),
    ("twin", {}, (3, 32, 32), 42_378),
    ("twin", {"residual": True}, (3, 32, 32), 42_378),
    ("twin", {"blocks": 3, "width": 8, "in_channels": 1}, (1, 28, 28), 3_674),
    ("resnet18", {}, (3, 64, 64), 11_181_642),
    ("resnet18", {"stem": "cifar"}, (3, 32, 32), 11_173_962),
    ("resnet18", {"stem": "cifar", "in_channels": 1}, (1, 28, 28), 11_172_810),
    ("resnet18", {"stem": "cifar", "shortcuts": False}, (3, 32, 32), 11_173_962 - 173_824),
    ("pooled_cnn", {}, (3, 28, 28), 24_346),
    ("alexnet", {}, (3, 32, 32), 3_243_850),
    ("alexnet", {"in_channels": 1}, (1, 28, 28), 3_240_650),
    ("squeeze_mlp", {}, (1, 28, 28), 123_370),
    ("squeeze_mlp", {"widths": [64, 8, 10], "batch_norm": False}, (1, 8, 8), 610),
    ("vgg", {"depth": 11, "head": "cifar"}, (3, 32, 32), 9_225_610),
    ("vgg", {"depth": 11, "head": "cifar", "in_channels": 1, "image_size": 28}, (1, 28, 28), 9_224_458),
    ("vgg", {"depth": 16, "head": "cifar"}, (3, 32, 32), 14_719_818),
    ("vgg", {"depth": 16, "head": "cifar", "batch_norm": True}, (3, 32, 32), 14_728_266),
]


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("factory", "arguments", "shape", "parameters"), NETWORKS)
def test_networks__have_the_known_size_and_ten_outputs(factory, arguments, shape, parameters):
    model = getattr(zoo, factory)(**arguments)

    assert count(model) == parameters
    assert model(torch.zeros(2, *shape)).shape == (2, 10)


def test_vgg__imagenet_head_has_the_size_of_the_paper_and_takes_small_images():
    # Table 2 of the paper: 133 million parameters with 1,000 classes.
    with torch.device("meta"):
        model = zoo.vgg(11, num_classes=1000)

        assert count(model) == 132_863_336
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 1000)


def test_resnet18__stems_keep_maps_of_their_size():
    image = torch.zeros(2, 3, 32, 32)
    sizes = {}
    for stem in ("imagenet", "cifar"):
        model = zoo.resnet18(stem)
        model.layer4.register_forward_hook(
            lambda module, inputs, output, stem=stem: sizes.update({stem: output.shape[-2:]})
        )
        model(image)

    assert sizes == {"imagenet": (1, 1), "cifar": (4, 4)}


def test_twins__have_the_same_weights_and_differ_by_what_goes_past_the_blocks():
    plain, residual = zoo.twin(), zoo.twin(residual=True)
    residual.load_state_dict(plain.state_dict())
    for model in (plain, residual):
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module is not model.conv:
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = nn.functional.max_pool2d(model.relu(model.conv(images)), 4)

    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in plain.modules()) == 20
    torch.testing.assert_close(residual(images), residual.fc(maps.mean((2, 3))))
    torch.testing.assert_close(plain(images), plain.fc.bias.expand(2, 10))


def test_num_classes__sets_the_outputs():
    assert zoo.resnet18(num_classes=7).fc.out_features == 7
    assert zoo.lenet5(num_classes=7)(torch.zeros(1, 1, 28, 28)).shape == (1, 7)


@pytest.mark.parametrize(("factory", "arguments", "shape", "parameters"), NETWORKS)
def test_activations__are_modules_that_do_not_write_over_their_input(factory, arguments, shape, parameters):
    model = getattr(zoo, factory)(**arguments)
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]

    assert relus
    assert not any(relu.inplace for relu in relus)


def test_mlp__takes_points_in_the_plane():
    assert zoo.mlp()(torch.zeros(5, 2)).shape == (5, 2)
    assert count(zoo.mlp()) == 102
    assert zoo.mlp(3, hidden=4, num_classes=6)(torch.zeros(5, 3)).shape == (5, 6)


def test_cnn__flattens_to_1024():
    assert zoo.cnn().fc1.in_features == 1024
    assert zoo.cnn().fc1.out_features == 512


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [
        ("lenet5", {"image_size": 64}, "image_size=64"),
        ("resnet18", {"stem": "tiny"}, "stem 'tiny'.* imagenet or cifar"),
        ("squeeze_mlp", {"widths": [10]}, "widths=.10..* inputs and outputs"),
        ("vgg", {"depth": 12}, "depth=12.* 11, 13, 16, 19"),
        ("vgg", {"head": "tiny"}, "head 'tiny'.* cifar"),
    ],
)
def test_wrong_arguments__are_named(factory, arguments, message):
    with pytest.raises(BadSetting, match=message):
        getattr(zoo, factory)(**arguments)


def test_resnet18__without_shortcuts_is_one_chain_of_the_same_convolutions():
    torch.manual_seed(0)
    deep, plain = zoo.resnet18("cifar"), zoo.resnet18("cifar", shortcuts=False)
    plain.load_state_dict({name: value for name, value in deep.state_dict().items() if "downsample" not in name})
    block, image = plain.eval().layer1[0], torch.randn(2, 64, 8, 8)

    expected = block.bn2(block.conv2(block.bn1(block.conv1(image)).relu())).relu()
    assert torch.equal(block(image), expected)
    assert not torch.equal(deep.eval().layer1[0](image), expected)
