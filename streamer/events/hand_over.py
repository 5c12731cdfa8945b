"""When an event happened, as it stands when it is handed over: the wall clock may have been set since. Pure.

A stored event and both clocks' time go in; the event with times that agree with one another comes out.
"""

from streamer.events.event import IdentityEvent
from streamer.events.outbox_file import Stored
from streamer.steady import UNSET_BEFORE

_NOTICED_S = 0.05  # two clocks are not read at once


def latency_s(stored: Stored, unix_s: float, steady_s: float) -> float:
    """Seconds from an event's captured_at until now; of an earlier boot's at least what is known to have passed.

    Below 0 for a clip that is played faster than its time goes.
    """
    if stored.captured_s is not None:
        return steady_s - stored.captured_s
    waited_s = max(steady_s - stored.created_at, 0.0)
    if stored.event.captured_at < UNSET_BEFORE <= unix_s:
        return waited_s
    return max(unix_s - stored.event.captured_at, waited_s)


def handed_over(stored: Stored, unix_s: float, steady_s: float) -> IdentityEvent:
    """The event with published_at and latency_ms.total; its times are moved where the clock was set since.

    Where nobody can know (the machine was off meanwhile) they stay, but for those of a clock that was never set
    and those that would lie in the future: these say the latest that it can have been.
    """
    event, late_s = stored.event, latency_s(stored, unix_s, steady_s)
    return moved(event, _moved_s(stored, unix_s, late_s)).model_copy(
        update={
            "published_at": round(unix_s, 3),
            "latency_ms": event.latency_ms.model_copy(update={"total": round(max(late_s, 0.0) * 1000.0, 1)}),
        }
    )


def moved(event: IdentityEvent, by_s: float) -> IdentityEvent:
    """The event with its own times so many seconds later."""
    times = {"first_seen_at": event.first_seen_at + by_s, "captured_at": event.captured_at + by_s}
    return event.model_copy(update=times) if by_s else event


def set_since_s(captured_at: float, unix_s: float, late_s: float) -> float:
    """By how much the wall clock was set since it said captured_at, late_s ago; 0 for less than can be told."""
    by_s = unix_s - late_s - captured_at
    return 0.0 if abs(by_s) < _NOTICED_S else round(by_s, 3)


def _moved_s(stored: Stored, unix_s: float, late_s: float) -> float:
    captured_at = stored.event.captured_at
    moved_s = set_since_s(captured_at, unix_s, late_s)
    never_set = captured_at < UNSET_BEFORE <= unix_s
    in_future = moved_s < 0.0 and unix_s >= UNSET_BEFORE
    return moved_s if stored.captured_s is not None or never_set or in_future else 0.0
