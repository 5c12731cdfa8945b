"""Whose time is over."""

import pytest

from gallery.people import Consent, Person, Profile
from gallery.retention import DAY_S, Expired, expired

NOW = 1.8e9


def person(key: str, created_at: float = NOW - 100 * DAY_S, until: float | None = None, consent: bool = True) -> Person:
    said = Consent("Ada", created_at, "the door", until) if consent else None
    return Person(key, Profile(key, consent=said), created_at, 1, {})


@pytest.mark.parametrize(
    ("until", "over"),
    [(NOW - 1, True), (NOW, True), (NOW + 1, False), (None, False)],
    ids=["past", "now", "to come", "-"],
)
def test_a_consent_goes_to_its_moment(until, over):
    assert expired([person("a", until=until)], {}, NOW, None) == (
        [Expired("a", "consent_expired", until)] if over else []
    )


@pytest.mark.parametrize(
    ("newest", "keep_days", "since"),
    [
        (NOW - 31 * DAY_S, 30, NOW - DAY_S),
        (NOW - 30 * DAY_S, 30, NOW),
        (NOW - 29 * DAY_S, 30, None),
        (NOW - 29 * DAY_S, 0.5, NOW - 28.5 * DAY_S),
        (NOW - 99 * DAY_S, None, None),
    ],
)
def test_photos_are_kept_for_so_many_days(newest, keep_days, since):
    found = expired([person("a", consent=False)], {"a": newest}, NOW, keep_days)
    assert found == ([] if since is None else [Expired("a", "kept_long_enough", since)])


def test_who_has_no_photo_counts_from_the_enrolment_and_nobody_is_told_twice():
    people = [person("a"), person("b", created_at=NOW - DAY_S), person("c", until=NOW - 5)]
    assert expired(people, {}, NOW, 30) == [
        Expired("a", "kept_long_enough", NOW - 70 * DAY_S),
        Expired("c", "consent_expired", NOW - 5),
    ]
