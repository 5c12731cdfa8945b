"""A camera that is published to, from the first publisher to the last: its states, its events, its counters."""

import gc

import pytest

from streamer.ingest.publish.publication_decoder import PublicationDecoder
from streamer.pipeline.camera import CameraStatus
from streamer.settings import CameraSettings
from tests.streamer.ingest.publish.test_source import Publisher
from tests.streamer.ingest.rtp.packetiser import Clip, make_clip
from tests.streamer.pipeline.watched_camera import Watched, running


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip("h264", 40, (160, 96), bf="0", g="10")


async def test_publishers_that_come_and_go_in_quick_succession_are_each_seen(clip):
    async with running() as seen:
        await seen.until(seen.is_("offline", "no_publisher"))
        for number in range(1, 7):
            publisher = await seen.publish(clip)
            assert seen.camera.status == CameraStatus("online")
            publisher.go()
            await seen.until(seen.is_("offline", "no_publisher"))
            assert seen.events() == [("new", None), ("end", "camera_lost")] * number
        assert [status.reason for status in seen.statuses[:5]] == [
            "starting",
            "no_publisher",
            "",
            "stream_lost",
            "no_publisher",
        ]
        assert seen.counted("whosthere_camera_errors_total", code="stream_lost") == 6
    assert seen.statuses[-1] == CameraStatus("offline", "stopped")


async def test_a_publisher_that_falls_silent_is_stalled_then_lost_and_may_come_again(clip):
    async with running(stalled_after_s=0.2, read_timeout_s=0.6) as seen:
        publisher = await seen.publish(clip)
        await seen.until(seen.is_("stalled", "stream_stalled"))
        await seen.until(lambda: seen.camera.status.state == "offline")
        assert publisher.closed == 1
        await seen.publish(clip)
        assert seen.camera.status.state == "online"
    assert ("end", "camera_lost") in seen.events()


async def test_stopped_under_a_publisher_the_publisher_goes_as_well(clip):
    async with running() as seen:
        publisher = await seen.publish(clip)
        assert seen.events() == [("new", None)]
    assert publisher.closed == 1
    assert publisher.publication.is_over
    assert seen.events()[-1] == ("end", "stopped")


async def test_what_is_held_back_is_counted(clip):
    async with running() as seen:
        publisher = Publisher(clip, seen.point)
        publisher.send(40, lost={12, 25})
        await seen.until(seen.is_("online"))
        publisher.go()
        await seen.until(seen.is_("offline", "no_publisher"))
        assert seen.counted("whosthere_frames_total", outcome="failed") == 2
        assert seen.counted("whosthere_frames_total", outcome="held_back") == 6 + 3
        assert seen.counted("whosthere_camera_errors_total", code="stream_invalid") == 2


async def test_a_disabled_one_takes_nobody():
    seen = Watched(CameraSettings.model_validate({"url": "publish://", "password": "secret", "enabled": False}))
    await seen.camera.run()
    assert seen.statuses == [CameraStatus("disabled")]
    assert not seen.point.is_taken


async def test_publishers_that_went_leave_no_pictures_to_the_garbage_collector(clip, caplog):
    """It comes seldom, and knows nothing of the megabytes that a codec holds."""
    caplog.set_level("CRITICAL")  # pytest keeps what was logged, errors with their tracebacks

    def decoders() -> int:
        return sum(type(one) is PublicationDecoder for one in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = decoders()
        async with running() as seen:
            for _ in range(4):
                (await seen.publish(clip)).go()
                await seen.until(seen.is_("offline", "no_publisher"))
            await seen.until(lambda: decoders() <= before + 1)
    finally:
        gc.enable()
