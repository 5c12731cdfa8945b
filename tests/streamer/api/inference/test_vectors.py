"""Embeddings as requests have them: numbers and base64 give the same rows, and what is none is named."""

import base64

import numpy as np
import pytest

from streamer.api.errors import EmbeddingInvalid
from streamer.api.inference.vectors import MOST_NUMBERS, rows_of, unit


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


def named(row: int) -> str:
    return f"row {row}"


@pytest.mark.parametrize("row", [[1, 2, 3], [0.1, -1e-20, 1e18], [0.0, 0.0, 1e-18]])
def test_numbers_and_base64_are_the_same_rows(row):
    rows = rows_of([row, packed(*row)], named)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, np.array([row, row], np.float32))


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ([[1.0], [1.0, 2.0]], "row 1 has 2 numbers, row 0 1"),
        ([[1.0], [0.0]], "row 1 has no direction"),
        ([[1.0], packed(float("inf"))], "row 1 has no direction"),
        ([packed(float("nan"))], "row 0 has no direction"),
        ([[3e38]], "row 0 has no direction"),
        ([[1e39]], "row 0: want numbers alone"),
        ([[10**400]], "row 0: want numbers alone"),
        ([[[1.0]]], "row 0: want numbers alone"),
        ([{"a": 1}], "row 0: want a row of numbers"),
        ([7], "row 0: want a row of numbers"),
        (["AAAA"], "row 0: 3 bytes of base64"),
        (["AAAA====AAAA"], "row 0 is no base64"),
        (["not base64!"], "row 0 is no base64"),
        (["ä"], "row 0 is no base64"),
        ([""], "row 0 has 0 numbers"),
        ([[1.0] * (MOST_NUMBERS + 1)], f"row 0 has {MOST_NUMBERS + 1} numbers"),
    ],
)
def test_what_is_no_embedding_is_named(vectors, says):
    with pytest.raises(EmbeddingInvalid) as refused:
        rows_of(vectors, named)
    assert says in str(refused.value)


def test_only_the_direction_counts():
    rows = unit(rows_of([[3.0, 4.0], [3e-18, 4e-18], [3e18, 4e18]], named))
    assert rows == pytest.approx(np.array([[0.6, 0.8]] * 3), abs=1e-6)
