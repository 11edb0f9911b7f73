"""Which step each checkpoint of anybody's folder is of."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import trajlab
from trajlab.errors import AmbiguousData, BadSetting, DamagedData, MissingData


def save(folder, names, tensors=("fc.weight", "fc.bias")):
    """Write a file of weights for each name; the values are the position of the name."""
    folder.mkdir(parents=True, exist_ok=True)
    for position, name in enumerate(names):
        arrays = {tensor: np.full((2, 3), position, np.float32) for tensor in tensors}
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, folder / f"{name}.safetensors")
    return folder


def order(run):
    """Return which of the names stands at each step."""
    return dict(zip(run.steps.tolist(), run.weights["fc.weight"].values[:, 0, 0].astype(int).tolist(), strict=True))


CERTAIN = [
    # a word of time, whatever else is counted in the name
    ("epoch", {"model_epoch_1_loss_0.9043": 1, "model_epoch_2_loss_0.8520": 2, "model_epoch_3_loss_0.6033": 3}),
    ("epoch", {"epoch=1-val_loss=0.123": 1, "epoch=2-val_loss=0.101": 2, "epoch=10-val_loss=0.9": 10}),
    ("ep", {"acc0.91_ep3": 3, "acc0.95_ep12": 12}),
    ("epoch", {"1epoch": 1, "2epoch": 2, "10epoch": 10}),
    ("e", {"model_e5_lr1e-4": 5, "model_e10_lr5e-05": 10}),
    ("epoch", {"bestnet_epoch_007": 7, "bestnet_epoch_08": 8, "bestnet_epoch_11": 11}),
    ("epoch", {"loss_12_epoch_2": 2, "loss_11_epoch_3": 3}),
    ("epoch", {"reward_-12_epoch_2": 2, "reward_-3_epoch_3": 3}),
    ("epoch", {"ResNet18_epoch_3": 3, "ResNet18_epoch_6": 6}),
    ("step", {"wav2vec2-step100": 100, "wav2vec2-step200": 200}),
    ("step", {"unet3d_x4_step5_psnr31": 5, "unet3d_x4_step15_psnr29": 15}),
    ("iter", {"model_iter_000040_top1_93": 40, "model_iter_000120_top1_91": 120}),
    ("update", {"update_100_seed_3": 100, "update_200_seed_3": 200}),
    ("upd", {"2024-11-05_upd3_v2": 3, "2024-11-06_upd7_v2": 7}),
    ("epoch", {"20230501_123045_epoch_2": 2, "20230502_000102_epoch_1": 1}),
    ("step", {"step1000-tokens4B": 1000, "step2000-tokens8B": 2000, "step10000-tokens42B": 10000}),
    ("step", {"epoch=0-step=700": 700, "epoch=0-step=1400": 1400, "epoch=1-step=2100": 2100}),
    ("steps", {"rl_model_10000_steps": 10000, "rl_model_5000_steps": 5000}),
    ("step", {"step_900": 900, "step_1k": 1000, "step_1M": 1_000_000}),
    ("epoch", {"epoch=-1": -1, "epoch=0": 0, "epoch=1": 1}),
    ("Epoch", {"bigModelEpoch9": 9, "bigModelEpoch10": 10}),
    ("globalstep", {"globalstep9": 9, "globalstep10": 10}),
    ("iteration", {"a1b2c3_iteration_9": 9, "f37072fd_iteration_10": 10}),
    ("checkpoint", {"checkpoint-500": 500, "checkpoint-1000": 1000}),
    ("ckpt", {"ckpt_2": 2, "ckpt_11": 11}),
    ("checkpoint", {"checkpoint3": 3, "checkpoint12": 12}),
    ("episode", {"dqn_episode_50_score_200": 50, "dqn_episode_100_score_21": 100}),
    # the only number that differs
    ("behind", {"model_1_accuracy=0.4100": 1, "model_2_accuracy=0.6303": 2, "model_3_accuracy=0.5977": 3}),
    ("behind", {"weights.01-0.45": 1, "weights.02-0.32": 2, "weights.10-0.11": 10}),
    ("behind", {"gpt2_1000": 1000, "gpt2_2000": 2000}),
    ("behind", {"G_cifar10_5": 5, "G_cifar10_15": 15}),
    ("behind", {"model_0000049": 49, "model_0000099": 99}),
    ("behind", {"vit_b_16_5": 5, "vit_b_16_10": 10}),
    ("behind", {"checkpoint_3_1000": 1000, "checkpoint_3_2000": 2000, "checkpoint_4_3000": 3000}),
    ("number in the name", {"77": 77, "8": 8, "0009": 9}),
    ("number in the name", {"-1": -1, "0": 0, "1": 1}),
    ("behind", {"w1": 1, "w2": 2, "w10": 10}),
    ("step", {"step_9e4": 90_000, "step_1e5": 100_000}),
    ("epoch", {"best_epoch_3": 3, "best_epoch_7": 7}),
    ("behind", {"model_final_5": 5, "model_final_10": 10}),
    ("update", {"update-1-of-10": 1, "update-2-of-10": 2, "update-10-of-10": 10}),
    ("epoch", {"epoch=1-step=100": 1, "epoch=2-step=50": 2}),
    ("epoch", {"epoch10-step1000": 10, "epoch20": 20}),
]


@pytest.mark.parametrize(("word", "steps"), CERTAIN, ids=[next(iter(steps)) for _, steps in CERTAIN])
def test_open__reads_steps_from_names(tmp_path, word, steps):
    run = trajlab.open(save(tmp_path, steps))
    assert order(run) == {step: position for position, step in enumerate(steps.values())}
    assert word in run.step_source and not run.left_aside


@pytest.mark.parametrize("named", ["step3000", "global_step12", "checkpoint-500", "iter_0000100", "500", "epoch_3"])
def test_open__reads_steps_from_the_names_of_folders(tmp_path, named):
    save(tmp_path, [f"{named}/model"])
    assert trajlab.open(tmp_path).steps.tolist() == [int(re.search(r"\d+", named)[0])]


SETTINGS = {"args": {"max_steps": 9, "total_steps": 90}, "batch_size": 32, "best_loss": 0.25}


@pytest.mark.parametrize(
    ("source", "name", "counters"),
    [
        ("global_step", "epoch={epoch}.ckpt", lambda epoch: {"epoch": epoch, "global_step": 50 * epoch}),
        ("iter_num", "ckpt{epoch}.pt", lambda epoch: {"iter_num": 50 * epoch, "best_val_loss": 0.1 * epoch}),
        ("iteration", "model_final_{epoch}.pth", lambda epoch: {"iteration": 50 * epoch}),
        ("meta.iter", "epoch_{epoch}.pth", lambda epoch: {"meta": {"epoch": epoch, "iter": 50 * epoch}}),
        ("optimizer_history.num_updates", "checkpoint{epoch}.pt",
         lambda epoch: {"optimizer_history": [{"num_updates": 1}, {"num_updates": 50 * epoch}]}),
        ("batch_idx_train", "epoch-{epoch}.pt", lambda epoch: {"batch_idx_train": 50 * epoch, "step": 7}),
        ("training_step", "model_{epoch}.pth", lambda epoch: {"training_step": np.int64(50 * epoch)}),
        ("state.global_step", "state_{epoch}.pt", lambda epoch: {"state": {"global_step": 50 * epoch}, "epoch": epoch}),
        ("n_iter", "x{epoch}.pt", lambda epoch: {"n_iter": 50.0 * epoch, "scheduler": {"step": 3 - epoch}}),
        ("frame", "best_{epoch}.pt", lambda epoch: {"frame": 50 * epoch}),
        ("total_steps", "policy-{epoch}.pt", lambda epoch: {"total_steps": 50 * epoch, "num_steps": 128}),
    ],
)  # fmt: skip
def test_open__reads_steps_from_files_before_names(tmp_path, source, name, counters):
    for epoch in (1, 2, 10):
        state = {"fc.weight": torch.full((2, 3), float(epoch))}
        torch.save({"model": state} | SETTINGS | counters(epoch), tmp_path / name.format(epoch=epoch))
    run = trajlab.open(tmp_path)
    assert order(run) == {50: 1, 100: 2, 500: 10}
    assert run.step_source == f"{source} in the file"


def test_open__reads_the_step_in_the_log_of_a_trainer(tmp_path):
    save(tmp_path, ["checkpoint_1/model", "checkpoint_2/model"])
    for folder, step in (("checkpoint_1", 700), ("checkpoint_2", 80)):
        log = {"epoch": 1.0, "global_step": step, "log_history": [{"step": 5}]}
        (tmp_path / folder / "trainer_state.json").write_text(json.dumps(log))
    assert trajlab.open(tmp_path).steps.tolist() == [80, 700]


def test_open__reads_the_step_in_the_notes_of_safetensors(tmp_path):
    for epoch in (1, 2):
        arrays = {"w": np.full(2, epoch, np.float32)}
        save_file(
            arrays, tmp_path / f"lora-{epoch:06}.safetensors", {"ss_steps": str(40 * epoch), "ss_epoch": f"{epoch}"}
        )
    assert trajlab.open(tmp_path).steps.tolist() == [40, 80]


@pytest.mark.parametrize(
    ("names", "counters", "steps"),
    [
        # a counter that starts anew in each epoch, or is the same everywhere, is not the step
        (["step_1000", "step_2000"], [{"epoch": 0}, {"epoch": 0}], [1000, 2000]),
        (["checkpoint-1500", "checkpoint-3000"], [{"epoch": 3}, {"epoch": 6}], [1500, 3000]),
        (["ckpt_1", "ckpt_2"], [{"epoch": 10}, {"epoch": 20}], [10, 20]),
        (["epoch_1", "epoch_2"], [{"epoch": 1, "iter": 90}, {"epoch": 2, "iter": 30}], [1, 2]),
        (["epoch_1", "epoch_2"], [{"total_steps": 100}, {"total_steps": 100}], [1, 2]),
        (["model_0", "model_5"], [{}, {"iteration": 500}], [0, 5]),
        (["best_0.91", "best_0.93"], [{"epoch": 3}, {"epoch": 9}], [3, 9]),
        (["a1b2c3", "d4e5f6"], [{"step": 3}, {"step": 9}], [3, 9]),
    ],
)
def test_open__weighs_counters_in_files_against_names(tmp_path, names, counters, steps):
    for position, (name, stated) in enumerate(zip(names, counters, strict=True)):
        torch.save({"model": {"fc.weight": torch.full((2, 3), float(position))}} | stated, tmp_path / f"{name}.pt")
    assert order(trajlab.open(tmp_path)) == {steps[0]: 0, steps[1]: 1}


def words_of_two_counters(tmp_path, **stated):
    for batch in (20, 60, 100):
        state = {"fc.weight": torch.full((2, 3), float(batch))}
        torch.save(
            {"model": state} | ({"batch_idx_train": batch} if stated else {}), tmp_path / f"checkpoint-{batch}.pt"
        )
    for epoch in (1, 2, 3):
        state = {"fc.weight": torch.full((2, 3), 40.0 * epoch)}
        counters = {"batch_idx_train": 40 * epoch} if stated else {}
        torch.save({"model": state, "epoch": epoch} | counters, tmp_path / f"epoch-{epoch}.pt")


def test_open__two_words_of_time_are_one_series_by_what_the_files_state(tmp_path):
    words_of_two_counters(tmp_path, stated=True)
    assert order(trajlab.open(tmp_path)) == {step: step for step in (20, 40, 60, 80, 100, 120)}


def test_open__two_words_of_time_without_evidence_are_refused(tmp_path):
    words_of_two_counters(tmp_path)
    with pytest.raises(AmbiguousData, match="checkpoint.*epoch") as error:
        trajlab.open(tmp_path)
    assert works(tmp_path, str(error.value)) == [[1, 2, 3], [20, 60, 100]]


def works(folder, message):
    """Return the steps under each option that an error suggests; it must suggest one."""
    assert "\n" not in message and ("step_pattern=" in message or "series=" in message)
    options = re.findall(r"--(step-pattern|series) '([^']+)'", message)
    assert options
    keywords = [{name.replace("-", "_"): value} for name, value in options]
    return sorted(trajlab.open(folder, **keyword).steps.tolist() for keyword in keywords)


UNCERTAIN = [
    (["epoch=0.50", "epoch=1.00", "epoch=1.50"], [5, 10, 15]),
    (["loss_0.61", "loss_0.52"], [0]),
    (["val_12", "val_15"], [0]),
    (["model_9e4", "model_1e5"], [90_000, 100_000]),
    (["step_1.5k", "step_2.25k"], [1500, 2250]),
    (["acc_91_1", "acc_92_2"], [1, 2]),
    (["1_10", "2_20"], [10, 20]),
    (["cifar10_net", "cifar100_net"], [10, 100]),
    (["model_20230501", "model_20230502"], [20230501, 20230502]),
    (["epoch_1_iter_100", "epoch_1_iter_200", "epoch_2_iter_100"], [100, 200]),
    (["checkpoint_1_1000", "checkpoint_2_2000"], [1, 2]),
    (["checkpoint_1_1000", "checkpoint_2_2000"], [1000, 2000]),
    (["model_3_100", "model_6_200"], [3, 6]),
    (["step_10", "iter_20"], [10]),
    (["step_10", "iter_20", "step_30"], [10, 30]),
    (["checkpoint3", "checkpoint_3_500", "checkpoint_4_900"], [3, 4]),
    (["a1b2c3", "d4e5f6"], [0]),
]


@pytest.mark.parametrize(("names", "steps"), UNCERTAIN, ids=[names[0] for names, _ in UNCERTAIN])
def test_open__refuses_what_nothing_tells_and_names_an_option_that_does(tmp_path, names, steps):
    save(tmp_path, names)
    with pytest.raises(AmbiguousData) as error:
        trajlab.open(tmp_path)
    assert steps in works(tmp_path, str(error.value))


ONE_NETWORK = [
    (["net_G_A_0", "net_G_B_5", "net_G_A_10", "net_G_B_15"], ["net_G_A", "net_G_B"], [[0, 10], [5, 15]]),
    (
        ["actor_step_1", "actor_step_2", "critic_step_1", "critic_step_2"],
        ["actor_step", "critic_step"],
        [[1, 2], [1, 2]],
    ),
    (["model_10", "model_ema_10", "model_20", "model_ema_20"], ["model", "model_ema"], [[10, 20], [10, 20]]),
    (["ema_epoch_1", "epoch_1", "epoch_2"], ["ema_epoch", "epoch"], [[1], [1, 2]]),
    (["netG_epoch_1", "netD_epoch_1"], ["netD_epoch", "netG_epoch"], [[1], [1]]),
    (["netGEpoch1", "netDEpoch2"], ["netDEpoch", "netGEpoch"], [[2], [1]]),
    (["G1", "D2"], ["D", "G"], [[0], [0]]),
    (["model_seed0_epoch_1", "model_seed1_epoch_2"], ["model_seed0_epoch", "model_seed1_epoch"], [[1], [2]]),
    (["step5_fold1", "step9_fold2"], ["step*_fold1", "step*_fold2"], [[5], [9]]),
    (["rank0_iter_5", "rank1_iter_6"], ["rank0_iter", "rank1_iter"], [[5], [6]]),
    (["resnet18_epoch_1", "resnet34_epoch_2"], ["resnet18_epoch", "resnet34_epoch"], [[1], [2]]),
    (["encoder", "decoder"], ["decoder", "encoder"], [[0], [0]]),
    (["seed0", "seed1"], ["seed0", "seed1"], [[0], [0]]),
    (["resnet18", "resnet50"], ["resnet18", "resnet50"], [[0], [0]]),
]


@pytest.mark.parametrize(("names", "series", "steps"), ONE_NETWORK, ids=[series[0] for _, series, _ in ONE_NETWORK])
def test_open__several_networks_are_refused_and_one_is_chosen_by_series(tmp_path, names, series, steps):
    save(tmp_path, names)
    with pytest.raises(AmbiguousData, match="2 series") as error:
        trajlab.open(tmp_path)
    assert re.findall(r"--series '([^.']+)'", str(error.value)) == series
    for chosen, expected in zip(series, steps, strict=True):
        run = trajlab.open(tmp_path, series=chosen)
        assert run.steps.tolist() == expected
        assert len(run.left_aside) == len(names) - len(expected)
        values = sorted(run.weights["fc.weight"].values[:, 0, 0].astype(int).tolist())
        assert values == [i for i, name in enumerate(names) if f"{name}.safetensors" not in run.left_aside]


def test_open__a_series_is_a_regular_expression_too(tmp_path):
    save(tmp_path, ["alpha_1", "beta_2", "gamma_3"])
    with pytest.raises(AmbiguousData, match="3 series"):
        trajlab.open(tmp_path)
    assert trajlab.open(tmp_path, series=".").steps.tolist() == [1, 2, 3]
    assert trajlab.open(tmp_path, series="alpha|gamma").steps.tolist() == [1, 3]
    with pytest.raises(MissingData, match="delta.*alpha_"):
        trajlab.open(tmp_path, series="delta")
    with pytest.raises(BadSetting, match="series"):
        trajlab.open(tmp_path, series="(")


def test_open__a_step_pattern_does_not_join_two_networks(tmp_path):
    save(tmp_path, ["net_G_A_0", "net_G_B_5"])
    with pytest.raises(AmbiguousData, match="2 series"):
        trajlab.open(tmp_path, step_pattern=r"_(\d+)")
    run = trajlab.open(tmp_path, step_pattern=r"A_(\d+)")
    assert run.steps.tolist() == [0] and list(run.left_aside) == ["net_G_B_5.safetensors"]


def test_open__numbers_that_differ_between_other_networks_are_not_steps(tmp_path):
    save(tmp_path, ["net_10"], ("fc.weight", "fc.bias"))
    save(tmp_path, ["net_20"], ("stem.weight", "stem.bias", "fc.weight"))
    with pytest.raises(AmbiguousData, match="different tensors"):
        trajlab.open(tmp_path)


COPIES = [
    (["model_49", "model_99", "model_final"], [49, 99], ["model_final"]),
    (["epoch_1", "epoch_2", "best_epoch_2"], [1, 2], ["best_epoch_2"]),
    (["epoch_1", "epoch_2", "best_epoch_3"], [1, 2, 3], []),
    (["epoch=1-step=5", "epoch=1-step=5-v1", "epoch=2-step=10"], [5, 10], ["epoch=1-step=5-v1"]),
    (
        ["checkpoint1", "checkpoint2", "checkpoint_best", "checkpoint_last"],
        [1, 2],
        ["checkpoint_best", "checkpoint_last"],
    ),
    (["epoch12", "epoch24", "last", "best"], [12, 24], ["last", "best"]),
    (["1epoch", "2epoch", "valid.acc.best"], [1, 2], ["valid.acc.best"]),
    (["checkpoint-12", "checkpoint-13", "model_best"], [12, 13], ["model_best"]),
    (["unet3d_epoch_5", "unet3d_epoch_10", "unet3d_final"], [5, 10], ["unet3d_final"]),
    (["step_5", "step_10", "step-final", "latest"], [5, 10], ["step-final", "latest"]),
    (["model_1", "model_2", "pretrained"], [1, 2], ["pretrained"]),
    (["model_1", "model_2", "model-last"], [1, 2], ["model-last"]),
    (["model_1", "model_2", "generator_final"], [1, 2], ["generator_final"]),
    (["epoch_1", "epoch_2", "vgg_16"], [1, 2], ["vgg_16"]),
    (["epoch_1", "epoch_2", "model2"], [1, 2], ["model2"]),
    (["epoch_1", "epoch_2", "epoch_2 (1)"], [1, 2], ["epoch_2 (1)"]),
]


@pytest.mark.parametrize(("names", "steps", "copies"), COPIES, ids=[names[-1] + names[0] for names, _, _ in COPIES])
def test_open__copies_and_others_are_left_aside_and_named(tmp_path, names, steps, copies):
    run = trajlab.open(save(tmp_path, names))
    assert run.steps.tolist() == steps
    assert set(run.left_aside) == {f"{name}.safetensors" for name in copies}


@pytest.mark.parametrize("copy", ["model_final", "model-best", "model_last", "model_0000099-v1", "final", "best_model"])
def test_open__a_copy_that_states_a_step_repeats_it_or_is_one_more(tmp_path, copy):
    for name, iteration in (("model_0000049", 49), ("model_0000099", 99), (copy, 99)):
        state = {"fc.weight": torch.full((2, 3), float(iteration))}
        torch.save({"model": state, "iteration": iteration}, tmp_path / f"{name}.pth")
    run = trajlab.open(tmp_path)
    assert order(run) == {49: 49, 99: 99} and "99" in run.left_aside[f"{copy}.pth"]
    torch.save({"model": {"fc.weight": torch.full((2, 3), 120.0)}, "iteration": 120}, tmp_path / f"{copy}.pth")
    run = trajlab.open(tmp_path)
    assert order(run) == {49: 49, 99: 99, 120: 120} and not run.left_aside


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["model"], [0]),
        (["resnet18"], [0]),
        (["vit_b_16"], [0]),
        (["resnet18-5c106cde"], [0]),
        (["best"], [0]),
        (["seed_3"], [0]),
        (["step5"], [5]),
        (["model_7"], [7]),
        (["12"], [12]),
        (["model", "best"], [0]),
        (["model-00001-of-00002"], [0]),
        (["unet3d_epoch_5_final"], [5]),
    ],
    ids=str,
)
def test_open__one_model_is_one_snapshot(tmp_path, names, steps):
    run = trajlab.open(save(tmp_path, names))
    assert run.steps.tolist() == steps
    assert ("nothing" in run.step_source) == (steps == [0])


def test_open__the_shards_of_one_model_are_one_snapshot(tmp_path):
    save(tmp_path, ["model-00001-of-00002"], ["a"])
    save(tmp_path, ["model-00002-of-00002"], ["b"])
    assert list(trajlab.open(tmp_path).weights) == ["a", "b"]
    for step in (5, 20):
        save(tmp_path / "flat", [f"net_step{step}-0001-of-0002"], ["a"])
        save(tmp_path / "flat", [f"net_step{step}-0002-of-0002"], ["b"])
    run = trajlab.open(tmp_path / "flat")
    assert run.steps.tolist() == [5, 20] and list(run.weights) == ["a", "b"]


def test_open__best_and_last_alone_are_told_by_their_files_or_not_at_all(tmp_path):
    for name, epoch in (("best", 3), ("last", 9)):
        torch.save({"model": {"fc.weight": torch.zeros(2, 3)}, "epoch": epoch}, tmp_path / f"{name}.pt")
    assert trajlab.open(tmp_path).steps.tolist() == [3, 9]
    for name in ("best", "last"):
        torch.save({"fc.weight": torch.zeros(2, 3)}, tmp_path / f"{name}.pt")
    with pytest.raises(AmbiguousData) as error:
        trajlab.open(tmp_path)
    assert works(tmp_path, str(error.value)) == [[0]]


def test_open__a_model_without_a_step_is_compared_and_a_parent(tmp_path):
    base = trajlab.open(save(tmp_path / "base", ["model"]))
    run = trajlab.open(save(tmp_path / "run", ["step_1", "step_2"]))
    distance = trajlab.run("drift", run, parent=base).compute().distance_l2.sel(parameter="fc.weight")
    np.testing.assert_allclose(distance, [0, 6**0.5])
    other = trajlab.open(save(tmp_path / "other", ["x", "model"]), series="model")
    compared = trajlab.run("comparison", {"a": base, "b": other}).compute()
    assert compared.total_distance.sel(run="a", other="b").values.tolist() == [12**0.5]


def test_open__two_files_of_one_step_are_named(tmp_path):
    with pytest.raises(DamagedData, match="step 1: both epoch_01.* and epoch_1") as error:
        trajlab.open(save(tmp_path, ["epoch_01", "epoch_1", "epoch_2"]))
    assert "--series" in str(error.value)
    assert trajlab.open(tmp_path, series="h_[12]").steps.tolist() == [1, 2]


def test_open__a_file_without_weights_is_left_aside_and_a_damaged_one_of_a_step_is_not(tmp_path):
    save(tmp_path, ["epoch_1", "epoch_2"])
    torch.save({"learning_rate": 0.1}, tmp_path / "weights.pt")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 2] and list(run.left_aside) == ["weights.pt"]
    torch.save({"learning_rate": 0.1}, tmp_path / "epoch_3.pt")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 2] and "learning_rate" in run.left_aside["epoch_3.pt"]
    (tmp_path / "epoch_4.pt").write_bytes((tmp_path / "epoch_3.pt").read_bytes()[:200])
    with pytest.raises(DamagedData, match="epoch_4"):
        trajlab.open(tmp_path)


def test_open__a_file_of_the_same_name_in_another_format_is_left_aside(tmp_path):
    save(tmp_path, ["step_1", "step_2"])
    torch.save({"fc.weight": torch.zeros(2, 3)}, tmp_path / "step_1.pt")
    run = trajlab.open(tmp_path)
    assert order(run) == {1: 0, 2: 1} and list(run.left_aside) == ["step_1.pt"]


def test_open__a_file_and_a_folder_of_one_step_are_named(tmp_path):
    with pytest.raises(DamagedData, match="step 1: both step_1 and step_1.safetensors"):
        trajlab.open(save(tmp_path, ["step_1", "step_1/model"]))


def test_open__a_counter_that_was_reset_before_saving_is_none(tmp_path):
    for name in ("best", "last"):
        torch.save({"model": {"fc.weight": torch.zeros(2, 3)}, "epoch": -1}, tmp_path / f"{name}.pt")
    with pytest.raises(AmbiguousData, match="best"):
        trajlab.open(tmp_path)


def test_open__a_link_to_the_last_checkpoint_and_one_to_nothing(tmp_path):
    save(tmp_path, ["step_1", "step_2"])
    (tmp_path / "latest.safetensors").symlink_to(tmp_path / "step_2.safetensors")
    (tmp_path / "best.safetensors").symlink_to(tmp_path / "nothing")
    run = trajlab.open(tmp_path)
    assert run.steps.tolist() == [1, 2] and sorted(run.left_aside) == ["best.safetensors", "latest.safetensors"]


def test_open__a_folder_of_which_nothing_can_be_read_names_it(tmp_path):
    for name in ("weights", "network"):
        torch.save({"learning_rate": 0.1}, tmp_path / f"{name}.pt")
    with pytest.raises(DamagedData, match="network.pt.*weights.pt"):
        trajlab.open(tmp_path)
    save(tmp_path, ["epoch_1"])
    with pytest.raises(MissingData, match="epoch_1.*step pattern"):
        trajlab.open(tmp_path, step_pattern=r"upd(\d+)")
