import os
import stat

import numpy as np
import pytest
from PIL import Image

import trajlab
from trajlab.errors import BadSetting, MissingData, TrajlabError
from trajlab.figures import save
from trajlab.figures.moving import MOST


@pytest.fixture
def result():
    """Filters that turn from black to white over five steps."""
    shades = np.linspace(-1, 1, 5)[:, None, None, None, None] * np.ones((1, 4, 1, 3, 3))
    return trajlab.run("filters", trajlab.from_arrays({"conv.weight": shades}, steps=10 * np.arange(5))).compute()


def frames_of(path):
    """All frames and how long each is shown, in milliseconds."""
    with Image.open(path) as picture:
        actual = []
        for i in range(picture.n_frames):
            picture.seek(i)
            actual.append((picture.info.get("duration"), np.asarray(picture.convert("RGB"), np.int16)))
    return [duration for duration, _ in actual], [pixels for _, pixels in actual]


@pytest.mark.parametrize("ending", ["gif", "webp", "apng"])
def test_moving__has_a_frame_for_each_step(result, tmp_path, ending):
    durations, pictures = frames_of(save(result, tmp_path / f"filters.{ending}"))

    assert len(pictures) == 5
    height, width = pictures[0].shape[:2]
    shades = [int(picture[height // 3, width // 4, 0]) for picture in pictures]
    np.testing.assert_allclose(shades, [0, 64, 128, 191, 255], atol=6)
    if ending == "gif":
        assert durations == [500] * 4 + [2000]


def test_moving__what_does_not_move_does_not_flicker_and_the_ground_is_white(result, tmp_path):
    _, pictures = frames_of(save(result, tmp_path / "filters.gif"))

    assert all((picture[0, -1] == 255).all() for picture in pictures)
    still = pictures[0].shape[1] * 17 // 20
    assert all((picture[40:, still:] == pictures[0][40:, still:]).all() for picture in pictures)


@pytest.mark.parametrize("ending", ["gif", "webp", "apng"])
def test_moving__the_same_result_gives_the_same_bytes(result, tmp_path, ending):
    files = [save(result, tmp_path / f"{name}.{ending}").read_bytes() for name in "ab"]

    assert files[0] == files[1]


@pytest.mark.slow
def test_moving__steps_may_be_chosen_and_many_are_thinned_out(tmp_path):
    kernels = np.random.default_rng(0).random((400, 1, 1, 2, 2))
    result = trajlab.run("filters", trajlab.from_arrays({"w": kernels}), max_steps=400).compute()

    assert len(frames_of(save(result, tmp_path / "few.gif", steps="7:9"))[1]) == 3
    assert MOST / 2 < len(frames_of(save(result, tmp_path / "all.gif"))[1]) <= MOST


def test_moving__histograms_and_lines_move_too(tmp_path):
    walk = np.random.default_rng(0).standard_normal((3, 20, 2)).cumsum(0)
    run = trajlab.from_arrays({"plane.weight": walk})

    for name in ("distribution", "unit_lines"):
        _, pictures = frames_of(save(trajlab.run(name, run).compute(), tmp_path / f"{name}.gif"))
        assert len(pictures) == 3
        assert (pictures[0] != pictures[2]).any()


def test_moving__of_a_run_and_a_parameter(tmp_path):
    runs = {name: trajlab.example(seed=i) for i, name in enumerate("ab")}
    result = trajlab.run("distribution", runs).compute()

    one = save(result, tmp_path / "a.gif", run="a", parameter="fc.weight").read_bytes()
    other = save(result, tmp_path / "b.gif", run="b", parameter="fc.weight").read_bytes()

    assert one != other
    with pytest.raises(BadSetting, match="run='c'"):
        save(result, tmp_path / "c.gif", run="c")


def test_moving__what_does_not_move_says_what_does(tmp_path):
    drift = trajlab.run("drift", trajlab.example()).compute()

    with pytest.raises(BadSetting, match="distribution, embedding, filters, unit_lines.*name a .png"):
        save(drift, tmp_path / "drift.gif")
    with pytest.raises(BadSetting, match="'std'.*histogram"):
        save(trajlab.run("distribution", trajlab.example()).compute(), tmp_path / "std.gif", variable="std")
    assert list(tmp_path.iterdir()) == []


def test_film__needs_ffmpeg(result, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(MissingData, match="ffmpeg"):
        save(result, tmp_path / "filters.mp4")
    assert list(tmp_path.iterdir()) == []


def program(folder, text):
    folder.mkdir()
    (folder / "ffmpeg").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "ffmpeg").chmod(stat.S_IRWXU)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_film__gives_ffmpeg_whole_frames_of_even_size(result, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PATH", program(tmp_path / "bin", 'for out; do :; done; echo "$@" > "$out"; cat | wc -c >> "$out"')
    )

    said, size = save(result, tmp_path / "filters.mp4").read_text().splitlines()

    words = said.split()
    width, height = map(int, words[words.index("-s") + 1].split("x"))
    assert width % 2 == height % 2 == 0
    assert int(size) == width * height * 3 * (5 + 4)  # the last frame rests for two seconds


def test_film__says_what_ffmpeg_says(result, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "cat > /dev/null; echo no encoder >&2; exit 3"))

    with pytest.raises(TrajlabError, match="no encoder"):
        save(result, tmp_path / "filters.mp4")
    assert not (tmp_path / "filters.mp4").exists()
