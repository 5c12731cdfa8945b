"""What is said of one person who was enrolled twice, under two names. Two profiles in, one out. Pure.

Where the two differ, what keeps a name from being given, or a consent from being stretched, wins.
"""

from dataclasses import replace

from gallery.errors import MergeRefused
from gallery.people import Consent, OwnThreshold, Profile


def merged(person: Profile, into: Profile) -> Profile:
    """`into`, with what was said of `person`: the tags of both, ignored where one of the two was, the external id and
    the threshold that one of them has, of two in one space the higher, and the consent that ends first.

    Raises MergeRefused where each has an external id of another.
    """
    ids = {one.external_id for one in (person, into)} - {None}
    if len(ids) > 1:
        raise MergeRefused(
            f"{person.name} and {into.name} have different external ids ({person.external_id!r} and "
            f"{into.external_id!r}): take the one that is wrong away first, with people set --external-id none"
        )
    return replace(
        into,
        external_id=next(iter(ids), None),
        tags=tuple(sorted({*person.tags, *into.tags})),
        threshold=_threshold(person.threshold, into.threshold),
        consent=_consent(person.consent, into.consent),
        ignored=person.ignored or into.ignored,
    )


def _threshold(person: OwnThreshold | None, into: OwnThreshold | None) -> OwnThreshold | None:
    if person is None or into is None:
        return into or person
    return max(into, person, key=lambda own: own.cosine) if person.space == into.space else into


def _consent(person: Consent | None, into: Consent | None) -> Consent | None:
    """One that is known beside none is kept, and nobody is kept for longer than either said."""
    if person is None or into is None:
        return into or person
    return min(into, person, key=lambda one: float("inf") if one.expires_at is None else one.expires_at)
