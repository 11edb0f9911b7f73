import copy

import numpy as np
import pytest
import torch
from torch import nn

import trajlab
from trajlab.errors import BadSetting
from trajlab.replays.batch_norm import check_mode, normalize_each_sample


def net():
    torch.manual_seed(3)
    norms = nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.SyncBatchNorm(4)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), *norms, nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 16, 5))
    for module in norms:
        module.running_mean.normal_()
        module.running_var.uniform_(0.5, 2)
        if module.affine:
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.eval()


def test_normalize_each_sample__is_training_mode_with_batches_of_one():
    inputs = torch.randn(7, 3, 6, 6)
    model = net()
    before = copy.deepcopy(model.state_dict())
    reference = copy.deepcopy(model)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    reference[3] = nn.BatchNorm2d(4).train()  # torch synchronizes on GPUs only
    reference[3].load_state_dict(model[3].state_dict())
    expected = torch.cat([reference(image[None]) for image in inputs])
    normalize_each_sample(model, 7)
    torch.testing.assert_close(model(inputs), expected, rtol=1e-4, atol=1e-5)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_normalize_each_sample__one_value_by_hand():
    """Channel values 1 and 3 of a sample have mean 2 and population variance 1, whatever the other sample has."""
    model = nn.Sequential(nn.BatchNorm1d(1, eps=1e-12))
    normalize_each_sample(model, 2)
    result = model(torch.tensor([[[1.0, 3.0]], [[100.0, 102.0]]]))
    torch.testing.assert_close(result, torch.tensor([[[-1.0, 1.0]], [[-1.0, 1.0]]]))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((4, 3), r"one value a channel"), ((4, 3, 1), "one value a channel"), ((8, 3, 2), "8 entries for 4 samples")],
)
def test_normalize_each_sample__what_has_no_variance_is_refused(shape, message):
    model = nn.Sequential(nn.BatchNorm1d(3))
    normalize_each_sample(model, 4)
    with pytest.raises(BadSetting, match=message):
        model(torch.ones(shape))


def test_check_mode__names_what_there_is():
    check_mode("train", net())
    with pytest.raises(BadSetting, match="choose eval or train"):
        check_mode("test", net())
    with pytest.raises(BadSetting, match="Linear in training mode: it has no batch normalization"):
        check_mode("train", nn.Linear(1, 1))


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_replay__in_training_mode_does_not_depend_on_the_batches(batch, monkeypatch):
    model = net()
    model[3] = nn.BatchNorm2d(4)
    inputs = torch.randn(7, 3, 6, 6)
    weights = {name: value.detach().numpy()[None] for name, value in model.named_parameters()}
    buffers = {name: value.numpy()[None] for name, value in model.named_buffers()}
    run = trajlab.from_arrays(weights, buffers=buffers)
    monkeypatch.setattr("trajlab.sizes.BATCH_SAMPLES", batch)
    actual = trajlab.replay(run, model=model, probe=inputs, layers=[""], mode="train")[""].values[0]
    for position in (1, 2, 3):
        model[position].train()
    expected = torch.cat([model(image[None]) for image in inputs])
    np.testing.assert_allclose(actual, expected.detach(), rtol=1e-3, atol=1e-5)
    plain = trajlab.replay(run, model=model, probe=inputs, layers=[""])[""].values[0]
    assert abs(plain - actual).max() > 0.1
