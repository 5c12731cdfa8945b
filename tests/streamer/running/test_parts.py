"""What /readyz and /healthz say of a Triton server and of a user's re-ranking library."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gallery.matching.rerank import Reranker
from streamer.readiness import Part
from streamer.running.parts import asked_parts


class Library:
    """A kernel that failed a moment ago, or did not."""

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble

    def __call__(self, *_: object) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    ("triton", "kernel", "parts"),
    [
        (None, None, [Part("rerank", True)]),
        (None, Library(""), [Part("rerank", True)]),
        (Part("triton", True), None, [Part("triton", True), Part("rerank", True)]),
        (
            Part("triton", False, "away"),
            Library("gave error -1"),
            [Part("triton", False, "away"), Part("rerank", False, "gave error -1")],
        ),
    ],
)
def test_what_is_asked_of_others_has_its_part(triton, kernel, parts):
    layer = cast(Any, SimpleNamespace(triton=triton))
    reranker = Reranker() if kernel is None else Reranker(kernel=kernel)
    assert list(asked_parts(layer, reranker)) == parts
