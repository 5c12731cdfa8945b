"""A published camera as a Source, on a real loop and a real thread: publishers come, go, fall silent, and are left."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path

import av
import pytest

from streamer.errors import PublisherPresent, StreamLost, StreamStalled
from streamer.ingest.frame import Frame
from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.publication import DecodedPicture, EncodedPicture, Publication, PublishedStream
from streamer.ingest.publish.source import PublishedSource
from streamer.ingest.rtp.receiver import TrackReceiver
from streamer.ingest.source import Source
from streamer.settings import CameraSettings
from tests.streamer.ingest.clips import assert_no_camera_thread, camera_threads, drain
from tests.streamer.ingest.rtp.packetiser import FPS, Clip, make_clip, packetise

SETTINGS = CameraSettings.model_validate({"url": "publish://", "password": "secret", "fps": 120})


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip("h264", 12, (160, 96), bf="0", g="6")


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert_no_camera_thread()


class Publisher:
    """Publishes a clip's pictures as fast as they are asked for."""

    def __init__(self, clip: Clip, point: PublishPoint) -> None:
        self.closed = 0
        self.publication = Publication(PublishedStream("h264", "rtsp tcp"), self._close)
        point.admit(self.publication)
        self._clip = clip

    def _close(self) -> None:
        self.closed += 1

    def pictures(self, lost: Collection[int] = ()) -> list[EncodedPicture]:
        """All of them, come at their time, up to now; but for those of which every packet is lost."""
        made: list[EncodedPicture] = []
        receiver = TrackReceiver(self._clip.track(), made.append, reorders=False)
        packets = [one for one in packetise(self._clip) if round(one[1].monotonic_s * FPS) not in lost]
        ago_s = time.monotonic() - packets[-1][1].monotonic_s
        for packet, at in packets:
            receiver.rtp(packet, Instant(at.unix_s, at.monotonic_s + ago_s))
        return made

    def send(self, pictures: int = 12, lost: Collection[int] = ()) -> "Publisher":
        for picture in self.pictures(lost)[:pictures]:
            self.publication.put(picture)
        return self

    def go(self) -> None:
        self.publication.end(StreamLost("camera door: its publisher went"))


async def take_all(source: Source) -> list[Frame]:
    frames: list[Frame] = []
    with pytest.raises(StreamLost):
        await drain(source, frames)
    return frames


@pytest.fixture
def point() -> PublishPoint:
    return PublishPoint("door", SETTINGS)


async def test_entering_waits_for_a_publisher(clip, point):
    async def play() -> Frame:
        async with PublishedSource(point, SETTINGS, first_number=5) as source:
            return await source.take()

    task = asyncio.create_task(play())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    assert camera_threads() == []
    publisher = Publisher(clip, point).send(1)
    async with asyncio.timeout(10):
        frame = await task
    assert frame.number == 5
    assert clip.index_of(frame.image.luma()) == 0
    assert publisher.closed == 1


async def test_a_publisher_that_waits_is_taken_at_once_and_its_end_is_told(clip, point):
    publisher = Publisher(clip, point).send()
    async with asyncio.timeout(10), PublishedSource(point, SETTINGS) as source:
        first = await source.take()
        assert threading.active_count() >= 2
        publisher.go()
        frames = [first, *await take_all(source)]
        assert source.next_number >= len(frames)
        assert source.trouble is None
        assert source.clip_started_at is None
    assert clip.index_of(frames[-1].image.luma()) == 11
    assert publisher.closed == 0  # it went by itself


async def test_the_next_publisher_is_taken_by_the_next_opening(clip, point):
    number = 0
    for _ in range(3):
        publisher = Publisher(clip, point).send()
        with pytest.raises(PublisherPresent):
            Publisher(clip, point)
        async with asyncio.timeout(10), PublishedSource(point, SETTINGS, first_number=number) as source:
            publisher.go()
            frames = await take_all(source)
            assert frames[-1].number == source.next_number - 1
            number = source.next_number
    assert number >= 36


async def test_a_publisher_that_sends_nothing_is_stalled_and_sent_away(clip, point):
    settings = CameraSettings.model_validate({"url": "publish://", "password": "secret", "read_timeout_s": 0.2})
    publisher = Publisher(clip, point)
    async with asyncio.timeout(10), PublishedSource(point, settings) as source:
        with pytest.raises(StreamStalled, match=r"sent no video for 0\.2 s"):
            await source.take()
        assert source.silent_s >= 0.2
    assert publisher.publication.is_over
    assert publisher.closed == 1


async def test_leaving_ends_the_publication_and_what_waits_in_it(clip, point):
    publisher = Publisher(clip, point).send()
    async with asyncio.timeout(10), PublishedSource(point, SETTINGS) as source:
        await source.take()
    assert publisher.closed == 1
    assert not publisher.publication.has_more
    Publisher(clip, point)  # there is room for another


async def test_cancelled_while_it_waits_it_leaves_nothing(clip, point):
    task = asyncio.create_task(PublishedSource(point, SETTINGS).__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    Publisher(clip, point).send(2).go()
    publisher = Publisher(clip, point).send(2)
    async with asyncio.timeout(10), PublishedSource(point, SETTINGS) as source:
        publisher.go()
        assert await take_all(source)


async def test_decoded_frames_are_taken_as_well(clip, point):
    publication = Publication(PublishedStream("vp8", "webrtc"), lambda: None)
    point.admit(publication)
    async with asyncio.timeout(10), PublishedSource(point, SETTINGS) as source:
        for number, size in enumerate(((64, 48), (96, 64), (64, 48))):
            came = Instant(1e9 + number, 5.0 + number)
            publication.put(DecodedPicture(av.VideoFrame(*size, "yuvj420p"), came))
            frame = await source.take()
            assert (frame.width, frame.height) == size
            assert (frame.captured_at, frame.captured_s) == came[:2]
        publication.end(StreamLost("gone"))
        assert await take_all(source) == []


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_hundreds_of_publishers_one_after_another_leave_nothing(clip, point):
    """Every fourth is cut off in mid-picture, every fourth is left, the others go."""
    descriptors = Path("/proc/self/fd")

    async def come_and_go(number: int) -> None:
        publisher = Publisher(clip, point).send()
        async with asyncio.timeout(20), PublishedSource(point, SETTINGS) as source:
            await source.take()
            if number % 4 == 1:
                return
            publisher.go()
            await take_all(source)

    for number in range(60):
        await come_and_go(number)
    gc.collect()
    threads, files, memory_mib = threading.active_count(), len(list(descriptors.iterdir())), resident_mib()
    for number in range(300):
        await come_and_go(number)
    gc.collect()
    assert threading.active_count() == threads
    assert len(list(descriptors.iterdir())) == files
    assert resident_mib() - memory_mib < 32  # a codec kept for each is 210
