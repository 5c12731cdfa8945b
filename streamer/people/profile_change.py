"""What is to be said anew of a person: a change in, the profile with it out. Pure; the clock comes in."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Literal, TypeVar

from gallery.consent import changed
from gallery.errors import ConsentInvalid
from gallery.people import Consent, OwnThreshold, Profile

T = TypeVar("T")


class _Kept(Enum):
    KEPT = auto()


KEPT: Final = _Kept.KEPT
"""As it was; None would say that there is none any more."""
Kept = Literal[_Kept.KEPT]


@dataclass(frozen=True, slots=True)
class ConsentChange:
    """by and purpose None: as before. expires_at: Unix time in s, None: until it is taken back."""

    by: str | None = None
    purpose: str | None = None
    expires_at: float | Kept | None = KEPT


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """None: from now on there is none."""

    name: str | Kept = KEPT
    external_id: str | Kept | None = KEPT
    tags: tuple[str, ...] | Kept = KEPT
    threshold: OwnThreshold | Kept | None = KEPT
    consent: ConsentChange | Kept | None = KEPT
    ignored: bool | Kept = KEPT

    def of(self, profile: Profile, now: float) -> Profile:
        """Raises ConsentInvalid where too little is said of a consent, or it would be over by now."""
        return replace(
            profile,
            name=_or(self.name, profile.name),
            external_id=_or(self.external_id, profile.external_id),
            tags=_or(self.tags, profile.tags),
            threshold=_or(self.threshold, profile.threshold),
            consent=_consent(self.consent, profile.consent, now),
            ignored=_or(self.ignored, profile.ignored),
        )


def _or(told: T | Kept, former: T) -> T:
    return former if isinstance(told, _Kept) else told


def _consent(told: ConsentChange | Kept | None, former: Consent | None, now: float) -> Consent | None:
    if isinstance(told, _Kept):
        return former
    if told is None:
        return None
    until = None if isinstance(told.expires_at, _Kept) else told.expires_at
    if until is not None and until <= now:
        raise ConsentInvalid("the consent would be over by now: a consent that is over is none; give a later time")
    consent = changed(former, now, by=told.by, purpose=told.purpose, until=until)
    return replace(consent, expires_at=None) if told.expires_at is None else consent
