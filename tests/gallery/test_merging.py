"""What is said of two who are one: nothing that keeps a name back, or a consent short, is lost."""

import pytest

from gallery.errors import MergeRefused
from gallery.merging import merged
from gallery.people import Consent, OwnThreshold, Profile

SHORT, LONG, OPEN = (Consent("Ada", at, "the door", until) for at, until in ((1.0, 5.0), (2.0, 9.0), (3.0, None)))


@pytest.mark.parametrize(
    ("one", "other", "stays"),
    [(SHORT, LONG, SHORT), (OPEN, LONG, LONG), (None, SHORT, SHORT), (OPEN, None, OPEN), (None, None, None)],
)
def test_the_consent_that_ends_first(one: Consent | None, other: Consent | None, stays: Consent | None) -> None:
    for first, second in ((one, other), (other, one)):
        assert merged(Profile("A", consent=first), Profile("B", consent=second)).consent == stays


def test_of_two_alike_the_one_of_who_stays() -> None:
    theirs, ours = Consent("A", 1.0, "x", 7.0), Consent("B", 2.0, "y", 7.0)
    assert merged(Profile("A", consent=theirs), Profile("B", consent=ours)).consent == ours


@pytest.mark.parametrize(
    ("one", "into", "stays"),
    [
        (OwnThreshold("s", 0.4), OwnThreshold("s", 0.6), OwnThreshold("s", 0.6)),
        (OwnThreshold("s", 0.7), OwnThreshold("s", 0.6), OwnThreshold("s", 0.7)),
        (OwnThreshold("t", 0.7), OwnThreshold("s", 0.6), OwnThreshold("s", 0.6)),
        (OwnThreshold("t", 0.7), None, OwnThreshold("t", 0.7)),
        (None, None, None),
    ],
)
def test_the_higher_threshold_of_one_space(
    one: OwnThreshold | None, into: OwnThreshold | None, stays: OwnThreshold | None
) -> None:
    assert merged(Profile("A", threshold=one), Profile("B", threshold=into)).threshold == stays


@pytest.mark.parametrize(("one", "into", "stays"), [("1", None, "1"), (None, "2", "2"), ("3", "3", "3"), (None,) * 3])
def test_the_external_id_of_either(one: str | None, into: str | None, stays: str | None) -> None:
    assert merged(Profile("A", one), Profile("B", into)).external_id == stays


def test_two_external_ids_are_refused_with_the_way_out() -> None:
    with pytest.raises(MergeRefused, match="people set --external-id none"):
        merged(Profile("A", "1"), Profile("B", "2"))


def test_tags_of_both_and_ignored_where_one_is() -> None:
    both = merged(Profile("A", tags=("x", "z"), ignored=True), Profile("B", tags=("a", "x")))
    assert both == Profile("B", tags=("a", "x", "z"), ignored=True)
    assert merged(Profile("A"), Profile("B", ignored=True)).ignored
    assert not merged(Profile("A"), Profile("B")).ignored
