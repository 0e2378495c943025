"""A bounded reader of the few ONNX fields that must be checked before a file may be loaded.

The robot has onnxruntime but not the onnx package, and onnxruntime shows neither weights nor
metadata before it has built the whole graph. An ONNX file is a protobuf message; this walks its
wire format (https://protobuf.dev/programming-guides/encoding) and never reads outside the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sac_ros.errors import InputError

# Field numbers of onnx.proto3.
MODEL_GRAPH, MODEL_METADATA = 7, 14
ENTRY_KEY, ENTRY_VALUE = 1, 2
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_ATTRIBUTE, ATTRIBUTE_TENSOR = 5, 5
TENSOR_FLOAT_DATA, TENSOR_NAME, TENSOR_RAW_DATA, TENSOR_DATA_TYPE = 4, 8, 9, 2
TENSOR_EXTERNAL_DATA = 13
FLOAT32 = 1

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5


class PolicyFileError(InputError):
    """A policy file is damaged, was changed after its export, or was never a policy."""


@dataclass(frozen=True)
class Span:
    """Where one metadata value lies in the file, in bytes."""

    start: int
    end: int


def metadata_spans(content: bytes) -> dict[str, Span]:
    """Return the place of every metadata value of a model, by key."""
    spans: dict[str, Span] = {}
    for number, start, end in _fields(content, 0, len(content)):
        if number != MODEL_METADATA:
            continue
        key, value = "", Span(start, start)
        for inner, inner_start, inner_end in _fields(content, start, end):
            if inner == ENTRY_KEY:
                key = content[inner_start:inner_end].decode("utf-8", errors="replace")
            elif inner == ENTRY_VALUE:
                value = Span(inner_start, inner_end)
        if key in spans:
            raise PolicyFileError(f"metadata key {key!r} stands in the file twice")
        spans[key] = value
    return spans


def check_weights(content: bytes) -> None:
    """Raise PolicyFileError if a tensor lies in another file or holds a non-finite float32."""
    for start, end in _tensors(content):
        name, data_type, floats = "", FLOAT32, b""
        for number, inner_start, inner_end in _fields(content, start, end):
            if number == TENSOR_NAME:
                name = content[inner_start:inner_end].decode("utf-8", errors="replace")
            elif number == TENSOR_DATA_TYPE:
                data_type = _varint(content, inner_start, inner_end)[0]
            elif number in (TENSOR_RAW_DATA, TENSOR_FLOAT_DATA):
                floats += content[inner_start:inner_end]
            elif number == TENSOR_EXTERNAL_DATA:
                raise PolicyFileError(
                    f"weight {name!r} is kept in another file; export one self-contained .onnx"
                )
        if data_type != FLOAT32:
            continue
        if len(floats) % 4:
            raise PolicyFileError(f"weight {name!r} has {len(floats)} bytes, not whole floats")
        if not np.isfinite(np.frombuffer(floats, dtype="<f4")).all():
            raise PolicyFileError(f"weight {name!r} is not finite; export from an older checkpoint")


def _tensors(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield the span of every constant tensor: initialisers and constants inside nodes."""
    for number, start, end in _fields(content, 0, len(content)):
        if number != MODEL_GRAPH:
            continue
        for inner, inner_start, inner_end in _fields(content, start, end):
            if inner == GRAPH_INITIALIZER:
                yield inner_start, inner_end
            elif inner == GRAPH_NODE:
                for attribute, low, high in _fields(content, inner_start, inner_end):
                    if attribute == NODE_ATTRIBUTE:
                        yield from (
                            (first, last)
                            for field, first, last in _fields(content, low, high)
                            if field == ATTRIBUTE_TENSOR
                        )


def _fields(content: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start, end) of each field of the message in content[position:end]."""
    while position < end:
        tag, position = _varint(content, position, end)
        start, wire_type = position, tag & 7
        if wire_type == VARINT:
            _, stop = _varint(content, position, end)
        elif wire_type == FIXED64:
            stop = position + 8
        elif wire_type == FIXED32:
            stop = position + 4
        elif wire_type == LENGTH_DELIMITED:
            length, start = _varint(content, position, end)
            stop = start + length
        else:
            raise PolicyFileError(f"not an ONNX file: wire type {wire_type} at byte {position}")
        if stop > end:
            raise PolicyFileError(f"the file is cut short: a field at byte {start} runs past {end}")
        yield tag >> 3, start, stop
        position = stop


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    """Return the variable-length integer at `position` and the position behind it."""
    value = shift = 0
    while position < end and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise PolicyFileError(f"not an ONNX file, or cut short, at byte {position}")
