import base64
import struct

import numpy as np
import pytest

from trajlab.runs.disk.event_files import event_file, scalars_in

WRITTEN = base64.b64decode(
    "SAAAAAAAAAD+kkidCZJCqCyAw9pBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2ZW50X2Zp"
    "bGVfd3JpdGVyxLAUIg8AAAAAAAAAbVMrCSoNCgsKBGxvc3MVAADAPwf2W6glAAAAAAAAAOq8NvMJAAAAAAAAJEAQCioYCgsKBGxv"
    "c3MVAACAPgoJCgJschVvEoM6x0lh9SMAAAAAAAAAsJ93QwkAAAAAAAAkQBAKKhYKFAoFaW1hZ2UiCwgBEAEYASIDYWJj7Ej7cR0A"
    "AAAAAAAAYC/fIwkAAAAAAAAkQBAKKhAKDgoEdGV4dEIGCAdCAmhpir3/VyMAAAAAAAAAsJ93QwkAAAAAAAA0QBAUKhYKFAoIYWNj"
    "dXJhY3lCCAgBKgQAAEA/+3Qz7w=="
)
"""What TensorBoard's own writer made of loss 1.5 at step 0, loss 0.25 and lr 1e-3 at step 10, with an image, a text,
and accuracy 0.75 at step 20 as a tensor of one float."""


def test_scalars_in__reads_what_tensorboard_writes():
    expected = [(0, "loss", 1.5), (10, "loss", 0.25), (10, "lr", np.float32(1e-3)), (20, "accuracy", 0.75)]
    assert list(scalars_in(WRITTEN)) == expected


def test_event_file__is_read_as_it_was_written(rng):
    rows = [
        (step, float(step), {f"tag {i}": float(np.float32(rng.normal())) for i in range(3)}) for step in (0, 7, 2**40)
    ]
    written = event_file(rows)
    assert list(scalars_in(written)) == [(step, *item) for step, _, values in rows for item in values.items()]
    assert list(scalars_in(event_file([(-1, 0.0, {"x": np.inf})]))) == [(-1, "x", np.inf)]


@pytest.mark.parametrize("cut", [1, 5, 13, 20])
def test_scalars_in__a_file_that_is_still_written_is_read_up_to_its_end(cut):
    written = event_file([(0, 0.0, {"a": 1.0}), (1, 0.0, {"a": 2.0})])
    assert list(scalars_in(written[:-cut])) == [(0, "a", 1.0)]


def test_scalars_in__a_damaged_record_is_told():
    written = bytearray(event_file([(0, 0.0, {"a": 1.0})]))
    written[-8] ^= 1
    with pytest.raises(ValueError, match="another checksum"):
        list(scalars_in(bytes(written)))
    with pytest.raises(ValueError, match="at byte 0 has another checksum"):
        list(scalars_in(struct.pack("<Q", 5) + bytes(30)))
