"""TensorBoard's event files: scalars by tag and step, read and written without TensorBoard.

An event file is a series of records: length, its checksum, a message and its checksum (TensorFlow's TFRecord). A
message is a protocol buffer `Event`. Scalars need its fields step (2) and summary (5), and of each value (1) in the
summary tag (1) and simple_value (2) or tensor (8): event.proto, summary.proto and tensor.proto of TensorBoard.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping

import google_crc32c
import numpy as np

NAME = "events.out.tfevents"
"""What the names of event files begin with."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""

FLOAT, DOUBLE = 1, 2
"""Element types of a tensor."""


def scalars_in(content: bytes) -> Iterator[tuple[int, str, float]]:
    """Iterate over the scalars of an event file as step, tag and value; what else it holds is passed over.

    Raises
    ------
    ValueError
        A record is damaged. The last one may be cut short, as that of a run that is still writing.
    """
    for message in _records(content):
        fields = _fields(message)
        step = int(fields.get(2, [0])[0])
        step = step - (1 << 64) if step >= 1 << 63 else step
        for summary in fields.get(5, []):
            for value in _fields(summary).get(1, []):
                parts = _fields(value)
                number = _number(parts)
                if number is not None and 1 in parts:
                    yield step, bytes(parts[1][-1]).decode(errors="replace"), number


def event_file(scalars: Iterable[tuple[int, float, Mapping[str, float]]]) -> bytes:
    """Return an event file of scalars.

    Parameters
    ----------
    scalars
        Steps, each with a time in seconds and its values by tag.

    Examples
    --------
    >>> list(scalars_in(event_file([(5, 0.0, {"loss": 0.5})])))
    [(5, 'loss', 0.5)]
    """
    records = [_record(_field(1, FIXED64, struct.pack("<d", 0.0)) + _field(3, BYTES, b"brain.Event:2"))]
    for step, time, values in scalars:
        summary = b"".join(
            _field(1, BYTES, _field(1, BYTES, tag.encode()) + _field(2, FIXED32, np.float32(value).tobytes()))
            for tag, value in values.items()
        )
        stamp = _field(1, FIXED64, struct.pack("<d", time))
        records.append(_record(stamp + _field(2, VARINT, step) + _field(5, BYTES, summary)))
    return b"".join(records)


def _records(content: bytes) -> Iterator[memoryview]:
    view, start = memoryview(content), 0
    while start + 12 <= len(view):
        length, checksum = struct.unpack_from("<QI", view, start)
        if _masked(bytes(view[start : start + 8])) != checksum:
            raise ValueError(f"the record at byte {start} has another checksum")
        end = start + 12 + length
        if end + 4 > len(view):
            return
        message = view[start + 12 : end]
        if _masked(bytes(message)) != struct.unpack_from("<I", view, end)[0]:
            raise ValueError(f"the record at byte {start} has another checksum")
        yield message
        start = end + 4


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + struct.pack("<I", _masked(length)) + message + struct.pack("<I", _masked(message))


def _masked(data: bytes) -> int:
    checksum = google_crc32c.value(data)
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _fields(message: bytes | memoryview) -> dict[int, list]:
    """Return the fields of a message by number: integers, or bytes of what is not one."""
    fields: dict[int, list] = {}
    start = 0
    while start < len(message):
        key, start = _varint(message, start)
        kind = key & 7
        value: int | bytes | memoryview
        if kind == VARINT:
            value, start = _varint(message, start)
        elif kind in (FIXED32, FIXED64, BYTES):
            size, start = (8 if kind == FIXED64 else 4, start) if kind != BYTES else _varint(message, start)
            if start + size > len(message):
                raise ValueError(f"field {key >> 3} is cut short")
            value, start = message[start : start + size], start + size
        else:
            raise ValueError(f"field {key >> 3} has the unknown type {kind}")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint(message: bytes | memoryview, start: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if start >= len(message):
            raise ValueError("a number is cut short")
        byte = message[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise ValueError("a number is longer than 64 bits")


def _field(number: int, kind: int, value: int | bytes) -> bytes:
    """Return a field of a wire type."""
    key = _as_varint(number << 3 | kind)
    if isinstance(value, int):
        return key + _as_varint(value)
    return key + (_as_varint(len(value)) if kind == BYTES else b"") + value


def _as_varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(parts: Mapping[int, list]) -> float | None:
    """Return the scalar of a value: a float, or a tensor of one; None for another."""
    if 2 in parts:
        return float(struct.unpack("<f", parts[2][-1])[0])
    if 8 not in parts:
        return None
    tensor = _fields(parts[8][-1])
    kind = {FLOAT: ("<f4", 5), DOUBLE: ("<f8", 6)}.get(int(tensor.get(1, [0])[0]))
    if kind is None:
        return None
    raw = bytes((tensor.get(4) or tensor.get(kind[1]) or [b""])[0])
    values = np.frombuffer(raw, kind[0]) if len(raw) % np.dtype(kind[0]).itemsize == 0 else np.empty(0)
    return float(values[0]) if len(values) == 1 else None
