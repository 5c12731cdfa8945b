"""What waits for the broker, without the people who were forgotten. Pure.

Messages go in, what may still be told of them comes out: nothing of a visit of theirs that is over and of which nobody
has heard; else the same message as one of somebody unknown, so that who has heard of a visit hears how it ends.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from streamer.events.event import IdentityEvent, Person

UNKNOWN = "unknown"


class Message(Protocol):
    """Anything that holds an event and the last levels of its topics."""

    @property
    def event(self) -> IdentityEvent: ...

    @property
    def levels(self) -> tuple[str, ...]: ...


M = TypeVar("M", bound=Message)


def names(message: Message, forgotten: Collection[str]) -> bool:
    """Whether one of these people is in it."""
    return any(person.id in forgotten for person in message.event.people)


def as_unknown(message: M, forgotten: Collection[str]) -> M:
    """The message without these people: who was one of them is somebody unknown."""
    if not forgotten or not names(message, forgotten):
        return message
    changes: dict[str, Any] = {
        "event": event_as_unknown(message.event, forgotten),
        "levels": tuple(dict.fromkeys(UNKNOWN if level in forgotten else level for level in message.levels)),
    }
    return replace(message, **changes)  # type: ignore[type-var]


def event_as_unknown(event: IdentityEvent, forgotten: Collection[str]) -> IdentityEvent:
    """How alike the face was to theirs goes, too, and where the visit is kept: it is not, any more.

    Where somebody is left of those whom it may have been, that is nothing to go by: it is somebody unknown, too.
    """
    changes: dict[str, object] = {}
    if any(_is_of(person, forgotten) for person in (event.person, *event.candidates)):
        changes = {"person": None, "similarity": None, "confidence": None, "margin": None}
        changes |= {"decision": "unknown", "candidates": ()}
    if _is_of(event.previous_person, forgotten):
        changes["previous_person"] = None
    return event.model_copy(update=changes | {"snapshot": None}) if changes else event


def left_of(
    waiting: Sequence[M], forgotten: Collection[str], is_heard: Callable[[M], bool] = lambda _: False
) -> list[M]:
    """What may be told of messages that wait; those of which is_heard() are on their way."""
    by_visit: dict[str, list[M]] = {}
    for message in waiting:
        by_visit.setdefault(message.event.event_id, []).append(message)
    theirs = {visit for visit, messages in by_visit.items() if any(names(one, forgotten) for one in messages)}
    erased = {visit for visit in theirs if _may_go(by_visit[visit], forgotten, is_heard)}
    return [
        _not_kept(as_unknown(message, forgotten)) if message.event.event_id in theirs else message
        for message in waiting
        if message.event.event_id not in erased
    ]


def _not_kept(message: M) -> M:
    """Of a visit that named one of them nothing is kept."""
    if message.event.snapshot is None:
        return message
    changes: dict[str, Any] = {"event": message.event.model_copy(update={"snapshot": None})}
    return replace(message, **changes)  # type: ignore[type-var]


def _may_go(messages: Sequence[M], forgotten: Collection[str], is_heard: Callable[[M], bool]) -> bool:
    kinds = {message.event.type for message in messages}
    return {"new", "end"} <= kinds and all(
        _is_of(message.event.person, forgotten) and not is_heard(message) for message in messages
    )


def _is_of(person: Person | None, forgotten: Collection[str]) -> bool:
    return person is not None and person.id in forgotten
