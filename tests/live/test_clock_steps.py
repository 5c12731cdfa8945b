"""Acceptance: the wall clock is set while the service runs, its own alone: nothing is lost, no time lies."""

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from streamer.access.token_file import make_token
from streamer.process import make_data_folder
from tests.faces import KNOWN, STRANGERS, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole
from tests.streamer.access.keys import bearer

pytestmark = pytest.mark.live

# The service's own process, but for the clock that it is told; what waits and sleeps goes by the kernel's.
WITH_A_CLOCK = """
import runpy, time
from pathlib import Path
from typing import Any

real, file = time.time, Path({file!r})
time.time = lambda: real() + float(file.read_text())
runpy.run_module("streamer", run_name="__main__", alter_sys=True)
"""
YEARS_S = 56 * 365.25 * 86400.0
DAYS_S = 8 * 86400.0


class ClockedService(ServiceProcess):
    """A service whose wall clock is so many seconds ahead of this machine's, or behind."""

    is_forked = False  # the clock is set before anything is imported

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        super().__init__(folder, config)
        self._clock = folder / "clock"

    def set_clock(self, ahead_s: float) -> None:
        draft = self._clock.with_suffix(".new")
        draft.write_text(str(ahead_s))
        draft.rename(self._clock)

    def command(self, *arguments: str) -> list[str]:
        python, _, _, *rest = super().command(*arguments)
        return [python, "-c", WITH_A_CLOCK.format(file=str(self._clock)), *rest]


# What the clock says at the start, to what it is set while messages wait, and whether the service is killed then.
STEPS = [
    (-YEARS_S, [0.0], False),  # a board without a clock of its own, in 1970
    (0.0, [DAYS_S], False),  # longer than outbox_max_age_h
    pytest.param(3600.0, [0.0], False, marks=pytest.mark.thorough),
    (DAYS_S, [-YEARS_S, 0.0], True),
]


@pytest.mark.parametrize(("at_first", "steps", "is_killed"), STEPS)
async def test_the_clock_is_set_while_messages_wait(tmp_path, at_first, steps, is_killed):
    film = write_film(tmp_path / "street.mp4", ([KNOWN, *STRANGERS[:2]], 2), ((), 1.5))
    with Mosquitto(tmp_path) as broker:
        config = {
            "paths": {"data": "data"},
            "mqtt": {"port": broker.port},
            "cameras": {"street": {"url": str(film), "fps": 5, "loop": True}},
            "events": {"faces_to_settle": 1, "gone_after_s": 0.5},
        }
        await Subscriber.awaited(broker.port, tmp_path)
        broker.stop()
        began_at = time.time()
        service = ClockedService(tmp_path, config)
        service.set_clock(at_first)
        make_data_folder(service.data)
        wall = bearer(make_token(service.data / "tokens.json", "the wall", "viewer")[1])
        with service:

            async def waiting(more: int) -> None:
                before = await service.metric("whosthere_outbox_depth")

                async def waits() -> bool:
                    return await service.metric("whosthere_outbox_depth") >= before + more

                await until(waits)

            await service.until_ready("camera street")
            await waiting(6)
            for number, step in enumerate(steps, 1):
                service.set_clock(step)
                told = [line for line in service.log() if line.get("code") == "clock_set"]
                await until(lambda n=number: sum(line.get("code") == "clock_set" for line in service.log()) >= n)
                assert len(told) == number - 1
                await waiting(6)
            if is_killed:
                service.kill()
                service.start()
                await service.until_ready("camera street")
            seen = httpx.get(f"{service.http}/api/v1/service", headers=wall, timeout=30).json()["latency"]["street"]
            assert 0 < seen["p50_ms"] <= seen["p95_ms"] < 60_000, "by a clock that nobody sets"
            assert 0 <= seen["last_picture_s"] < 60
            assert await service.metric("whosthere_outbox_dropped_total") == 0
            assert await service.metric("whosthere_outbox_oldest_seconds") < time.time() - began_at + 1
            broker.start()
            with Subscriber(broker.port, tmp_path) as heard:
                await service.until_ready("broker")
                assert service.stop() == 0
                await heard.catch_up()
                events = heard.events()
                since = heard.on("whosthere/cameras/street/status")[-1].document["since"]
        assert "Traceback" not in service.log_file.read_text()
    offset_s = steps[-1]
    until_s = time.time() + offset_s
    assert len(events) >= 12
    for event in events:
        assert began_at + offset_s - 5.0 <= event["captured_at"] <= event["published_at"] + 0.001 <= until_s, event
        assert 0.0 <= event["captured_at"] - event["first_seen_at"] < 60.0
        late_ms = event["latency_ms"]["total"]
        assert late_ms == pytest.approx((event["published_at"] - event["captured_at"]) * 1000.0, abs=60.0)
    assert began_at + offset_s - 5.0 <= since <= until_s
    order = [(event["event_id"], event["seq"]) for event in events]
    assert_told_whole(heard.visits())
    assert order == sorted(set(order), key=order.index), "none twice"
    captured = [event["captured_at"] for event in events if event["type"] == "new"]
    assert all(later >= earlier - 0.5 for earlier, later in pairwise(captured)), "in order"
