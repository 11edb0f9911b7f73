import threading
import time

import pytest
import torch

from trajlab.errors import TrajlabError
from trajlab.record import writer
from trajlab.record.writer import Writer, write_checkpoint, write_json, write_tensors


def test_write__leaves_no_half_written_file(tmp_path, monkeypatch):
    write_json(tmp_path / "run.json", {"before": 1})

    def fail(path, tensors, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_safetensors", fail)
    with pytest.raises(TrajlabError, match=r"a\.safetensors.*No space left"):
        write_tensors(tmp_path / "a.safetensors", {"w": torch.ones(2)}, {})
    with pytest.raises(TrajlabError, match="checkpoint-3/model.safetensors.*No space left"):
        write_checkpoint(tmp_path / "checkpoint-3", {"w": torch.ones(2)})
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_writer__writes_in_order_and_waits():
    done = []
    thread = Writer()
    for number in range(5):
        thread.submit(lambda number=number: (time.sleep(0.01), done.append(number)))
    thread.wait()
    assert done == [0, 1, 2, 3, 4]
    thread.stop()


def test_writer__holds_back_who_writes_faster_than_the_disk():
    gate, thread, handed = threading.Event(), Writer(), []

    def hand_over():
        for number in range(4):
            thread.submit(gate.wait)
            handed.append(number)

    producer = threading.Thread(target=hand_over)
    producer.start()
    time.sleep(0.2)
    assert len(handed) == 2
    gate.set()
    producer.join()
    thread.stop()


def test_writer__writes_nothing_after_a_failure_and_goes_on_raising():
    done, thread = [], Writer()
    thread.submit(lambda: 1 / 0)
    thread.submit(lambda: done.append(1))
    for _ in range(2):
        with pytest.raises(TrajlabError, match="division by zero"):
            thread.wait()
    thread.stop()
    assert not done
