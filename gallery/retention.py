"""Whose time is over: a consent that has expired, photos that are older than they are to be kept. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gallery.people import Person, Profile

DAY_S = 86_400.0
Why = Literal["consent_expired", "kept_long_enough"]


@dataclass(frozen=True, slots=True)
class Expired:
    """`since`: when the time was over, Unix time in s."""

    person_id: str
    why: Why
    since: float


def expired(
    people: Iterable[Person], newest: Mapping[str, float], now: float, keep_days: float | None
) -> list[Expired]:
    """Those to be erased, in the order given. newest: when each person's newest photo was added; who has none counts
    from the enrolment. keep_days None: however old.
    """
    found = []
    for person in people:
        over = since_when(person.profile, newest.get(person.id, person.created_at), now, keep_days)
        if over is not None:
            found.append(Expired(person.id, *over))
    return found


def since_when(profile: Profile, newest: float, now: float, keep_days: float | None) -> tuple[Why, float] | None:
    """Why somebody's time is over, and since when; None where it is not."""
    consent = profile.consent
    if consent is not None and consent.expires_at is not None and consent.expires_at <= now:
        return "consent_expired", consent.expires_at
    if keep_days is not None and (until := newest + keep_days * DAY_S) <= now:
        return "kept_long_enough", until
    return None
