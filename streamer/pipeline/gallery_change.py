"""What has changed in the gallery since it was read last, from the store's thread to the loop. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from gallery.people import Profile
from recognition.errors import CodedError


@dataclass(frozen=True, slots=True)
class GalleryChange:
    """What the store says now, made ready on its thread: the loop would stand still over so many. By id: the profiles,
    the thresholds of those who have one, by space; ignored: who is never told of; gone: who was there before;
    forgotten: everybody who ever was; unreadable: who is enrolled and left out, at least in part, left_out: what is to
    be said of them; merged: ids that stand for somebody else's; renamed: who has another name, by id, or was merged
    since, and whose id is theirs now."""

    profiles: Mapping[str, Profile]
    thresholds: Mapping[str, Mapping[str, float]]
    ignored: frozenset[str]
    gone: set[str]
    forgotten: frozenset[str]
    unreadable: frozenset[str]
    left_out: CodedError | None
    merged: Mapping[str, str]
    renamed: Mapping[str, str]


def renamed(
    before: Mapping[str, Profile], now: Mapping[str, Profile], merged_since: Mapping[str, str]
) -> Mapping[str, str]:
    """Ids of who has another name by now, and of who was merged: whose id is theirs now, by id."""
    other_names = {who: who for who, one in now.items() if who in before and before[who].name != one.name}
    return other_names | dict(merged_since)
