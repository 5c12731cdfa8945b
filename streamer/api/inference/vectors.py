"""Embeddings as requests have them, rows of numbers or base64 of float32, in; float32 rows out. Pure; any thread."""

import binascii
import struct
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, WithJsonSchema

from recognition.arrays import F32
from streamer.api.errors import EmbeddingInvalid

MOST_NUMBERS = 8192
_LITTLE_ENDIAN = np.dtype("<f4")

# Who an embedding is of, as the request has it.
Id = Annotated[str, Field(max_length=200)] | int

# Looked at by rows_of() alone: to have pydantic look at each number would take longer than to re-rank them.
Vector = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": MOST_NUMBERS},
                {"type": "string", "contentEncoding": "base64", "minLength": 6, "maxLength": 4 * MOST_NUMBERS * 4 // 3},
            ],
            "title": "An embedding",
            "description": "Its numbers, or base64 of them as little-endian float32, which is read ten times as fast. "
            "Of any length but 0: its direction alone counts.",
        }
    ),
]


def rows_of(vectors: Sequence[object], name_of: Callable[[int], str]) -> F32:
    """(n,d), n and d at least 1. name_of(row): how an error calls it. Raises EmbeddingInvalid unless all are usable."""
    packed = [_packed(vector, name_of, row) for row, vector in enumerate(vectors)]
    size = len(packed[0])
    for row, one in enumerate(packed):
        if len(one) != size:
            raise EmbeddingInvalid(
                f"{name_of(row)} has {len(one) // 4} numbers, {name_of(0)} {size // 4}: they are of two "
                "models, and can't be compared"
            )
    rows = np.frombuffer(b"".join(packed), _LITTLE_ENDIAN).reshape(len(packed), -1).astype(np.float32, copy=False)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    usable = np.isfinite(squares) & (squares > 0)
    if not usable.all():
        raise EmbeddingInvalid(
            f"{name_of(int(np.argmin(usable)))} has no direction: all zeros, or numbers that are infinite or none"
        )
    return rows


def unit(rows: F32) -> F32:
    """(n,d) of rows_of(), each of length 1."""
    return np.asarray(rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True), np.float32)


def _packed(vector: object, name_of: Callable[[int], str], row: int) -> bytes:
    """Little-endian float32, one after another."""
    if isinstance(vector, str):
        try:
            packed = binascii.a2b_base64(vector.encode(), strict_mode=True)
        except ValueError as error:
            raise EmbeddingInvalid(f"{name_of(row)} is no base64 ({error}): want numbers, or float32 in it") from None
        if len(packed) % 4:
            raise EmbeddingInvalid(f"{name_of(row)}: {len(packed)} bytes of base64 are no whole float32 numbers")
    elif isinstance(vector, list):
        try:
            packed = struct.pack(f"<{len(vector)}f", *vector)
        except (struct.error, OverflowError):
            raise EmbeddingInvalid(f"{name_of(row)}: want numbers alone, each one that float32 can hold") from None
    else:
        raise EmbeddingInvalid(f"{name_of(row)}: want a row of numbers, or base64 of float32")
    if not 0 < len(packed) <= 4 * MOST_NUMBERS:
        raise EmbeddingInvalid(f"{name_of(row)} has {len(packed) // 4} numbers; want 1 to {MOST_NUMBERS}")
    return packed
