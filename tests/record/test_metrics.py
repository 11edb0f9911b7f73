import json
import math

import numpy as np
import pytest
import torch

from trajlab.errors import BadSetting
from trajlab.record import metrics
from trajlab.record.metrics import MetricsLog, metric_row
from trajlab.record.writer import Writer


def test_metric_row__converts_numbers_of_all_kinds():
    row = metric_row(
        2,
        {
            "tensor": torch.tensor([[0.5]], requires_grad=True),
            "half": torch.tensor(0.25, dtype=torch.bfloat16),
            "count": np.int32(3),
            "single": np.float32(0.5),
            "flag": True,
            "integer": torch.tensor(4),
        },
    )
    expected = {"step": 2, "tensor": 0.5, "half": 0.25, "count": 3, "single": 0.5, "flag": 1, "integer": 4}
    assert row == expected
    assert json.loads(json.dumps(row)) == expected


def test_metric_row__refuses_the_name_step():
    with pytest.raises(BadSetting, match="metric called step"):
        metric_row(0, {"step": 3})


def test_metrics_log__keeps_nan_and_infinity(tmp_path):
    writer = Writer()
    log = MetricsLog(tmp_path / "metrics.jsonl", writer)
    log.append({"step": 0, "loss": math.nan, "norm": math.inf})
    log.flush()
    writer.stop()
    log.close()
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert math.isnan(row["loss"]) and row["norm"] == math.inf


def test_metrics_log__writes_each_second(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])
    writer = Writer()
    log = MetricsLog(tmp_path / "metrics.jsonl", writer)
    log.append({"step": 0})
    writer.wait()
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert log.add({"loss": 2.0})
    now[0] = 1.5
    log.append({"step": 1})
    writer.wait()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 0, "loss": 2.0}\n'
    log.flush()
    assert not log.add({"loss": 3.0})
    writer.stop()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 0, "loss": 2.0}\n{"step": 1}\n'
    log.close()
