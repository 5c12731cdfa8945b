"""What an event says of its time when the wall clock was set between its capture and its hand-over."""

from dataclasses import replace

import pytest

from streamer.events.hand_over import handed_over, latency_s
from streamer.events.outbox_file import Stored
from tests.streamer.messages import due

NOW = 1_763_674_512.0
YEARS_S = 50 * 365.25 * 86400.0


def stored(captured_at: float, *, captured_s: float | None, created_at: float = 100.0) -> Stored:
    item = due("a1n", captured_at=captured_at)
    return Stored(1, item.event, item.levels, created_at, captured_s)


# captured_at of the event, its steady moment (None: of an earlier boot), Unix time of the hand-over at 160 s on the
# steady clock (written at 100 s); captured_at as it is told, latency in s.
TIMES = {
    "a clock that nobody set": (NOW - 60.5, 99.5, NOW, NOW - 60.5, 60.5),
    "1970, then set": (120.0, 99.5, NOW, NOW - 60.5, 60.5),
    "set back by an hour": (NOW + 3539.5, 99.5, NOW, NOW - 60.5, 60.5),
    "set on by eight days": (NOW - 60.5 - 8 * 86400, 99.5, NOW, NOW - 60.5, 60.5),
    "never set": (100.0, 99.5, 160.5, 100.0, 60.5),
    "a clip that is played fast": (NOW + 500.0, 660.0, NOW, NOW + 500.0, -500.0),
    "an earlier boot": (NOW - 7200.0, None, NOW, NOW - 7200.0, 7200.0),
    "an earlier boot in 1970": (120.0, None, NOW, NOW - 60.0, 60.0),
    "an earlier boot in the future": (NOW + YEARS_S, None, NOW, NOW - 60.0, 60.0),
    "an earlier boot, and now 1970": (NOW, None, 30.0, NOW, 60.0),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_agree(case):
    captured_at, captured_s, unix_s, told_at, late_s = TIMES[case]
    waiting = stored(captured_at, captured_s=captured_s)
    event = handed_over(waiting, unix_s, 160.0)
    assert event.captured_at == pytest.approx(told_at, abs=0.001)
    assert event.captured_at - event.first_seen_at == pytest.approx(1.0)
    assert event.latency_ms.total == pytest.approx(max(late_s, 0.0) * 1000.0)
    assert event.published_at == unix_s
    assert latency_s(waiting, unix_s, 160.0) == pytest.approx(late_s)
    if told_at == captured_at:
        assert event.captured_at == captured_at, "to the last digit"


def test_nothing_else_is_changed():
    waiting = stored(120.0, captured_s=99.5)
    event = handed_over(waiting, NOW, 160.0)
    times = {"first_seen_at", "captured_at", "published_at", "latency_ms"}
    assert event.model_dump(exclude=times) == waiting.event.model_dump(exclude=times)
    assert event.latency_ms.model_dump(exclude={"total"}) == waiting.event.latency_ms.model_dump(exclude={"total"})
    assert replace(waiting, event=event).event == event
