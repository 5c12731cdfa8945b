"""Which visits are compared where there are too many: the newest, and some of the ignored ones."""

import pytest

from streamer.kept_visits.visit import Unnamed
from streamer.review.reading import newest


def visits(kinds: str) -> list[Unnamed]:
    """In the order of their time; `i`: an ignored one. Their ids are their places."""
    return [Unnamed(str(place), "door", place, place + 1.0, kind == "i") for place, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "compared", "older"),
    [
        ("", "", 0),
        ("oooo", "0123", 0),
        ("oooooo", "2345", 2),
        ("iooooo", "0345", 2),  # whoever was ignored is, however many come
        ("iiiiii", "45", 0),
        ("iiiooo", "12" + "45", 1),
    ],
)
def test_the_newest_are_compared(kinds, compared, older):
    found, left = newest(visits(kinds), 4)
    assert ("".join(visit.event_id for visit in found), left) == (compared, older)
