"""Bytes of a run before the first is written."""

from trajlab.record import Recorder, every
from trajlab.record.estimate import COUNTED_STEPS, estimate


def test_recorder__says_if_the_run_will_be_large(make_model, capsys, tmp_path):
    model = make_model()
    recorder = Recorder(model, tmp_path / "run", steps=10, when=every(5), gradients=4, limit=1000)
    snapshot = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    estimate = recorder.estimate
    assert (estimate.snapshot_bytes, estimate.row_bytes, estimate.snapshots, estimate.rows) == (snapshot, 92, 3, 10)
    assert estimate.total_bytes == 3 * snapshot + 920
    line = capsys.readouterr().err
    assert "run will take about" in line and "in 10 steps: 3 snapshots of" in line and "the limit of 1.0 kB" in line
    recorder.close()
    capsys.readouterr()
    with Recorder(model, tmp_path / "other") as other:
        assert other.estimate.steps == 1000 and capsys.readouterr().err == ""


def test_estimate__of_very_long_runs_is_proportional():
    steps = 50 * COUNTED_STEPS
    expected = estimate(3, 2, every(10), every(4), 0, steps)
    assert (expected.snapshots, expected.rows) == (steps // 10 + 1, steps // 4)
    assert expected.total_bytes == 3 * (steps // 10 + 1) + 2 * steps // 4


def test_estimate__of_a_resumed_run_counts_what_is_left(tmp_path):
    rest = estimate(3, 2, every(10), None, 95, 100)
    assert (rest.steps, rest.snapshots, rest.rows) == (5, 1, 0)
    assert "free on the disk" in estimate(10**18, 0, every(1), None, 0, 9).excess(tmp_path / "new", None)
    assert rest.excess(tmp_path, None) is None
