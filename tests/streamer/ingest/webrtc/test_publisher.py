"""A publisher of aiortc's through a session into a publication: codecs, sound, sizes that change, every end."""

import asyncio
import itertools
import random
from contextlib import asynccontextmanager
from fractions import Fraction

import numpy as np
import pytest
from aioice.ice import StunProtocol
from aiortc import AudioStreamTrack, RTCRtpSender, VideoStreamTrack
from av import VideoFrame

from streamer.errors import StreamLost, StreamStalled
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.webrtc.publisher import WhipPublisher
from streamer.settings import CameraSettings
from streamer.webrtc.errors import OfferUnsupported
from streamer.webrtc.sessions import open_sessions
from tests.streamer.webrtc.peers import Pausing, Publisher, nothing_left


def point(**camera):
    settings = {"url": "publish://", "password": "x"} | camera
    return PublishPoint("door", CameraSettings.model_validate(settings))


@asynccontextmanager
async def published(door, *tracks, codec=None):
    """(the publisher's side, ours, the session, the publication), connected."""
    publisher, peer = Publisher(*tracks), WhipPublisher(door)
    if codec is not None:
        capabilities = RTCRtpSender.getCapabilities("video").codecs
        for transceiver in publisher.connection.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences([one for one in capabilities if one.name == codec])
    async with nothing_left(), open_sessions((), 2) as sessions, asyncio.timeout(40):
        try:
            session = await sessions.open("door", await publisher.offer(), peer)
            await publisher.accept(session.answer)
            yield publisher, peer, session, await door.next()
        finally:
            await publisher.close()


async def take(publication):
    found = await asyncio.to_thread(publication.take, 15)
    assert found is not None
    return found


@pytest.mark.parametrize(("codec", "named"), [("VP8", "vp8"), ("H264", "h264")])
async def test_both_codecs(codec, named):
    async with published(point(), codec=codec) as (_, _, _, publication):
        pictures = [await take(publication) for _ in range(3)]
    assert publication.stream.codec == named
    assert {(picture.frame.width, picture.frame.height) for picture in pictures} == {(640, 480)}
    assert sorted(picture.at for picture in pictures) == [picture.at for picture in pictures]


async def test_sound_is_taken_and_dropped():
    async with published(point(), AudioStreamTrack(), VideoStreamTrack()) as (_, peer, _, publication):
        for _ in range(60):
            await take(publication)
        kinds = {track.kind: track._queue.qsize() for track in peer._tracks}
    assert set(kinds) == {"audio", "video"}
    assert max(kinds.values()) <= 3, "what nobody takes is kept without limit"


class Growing(VideoStreamTrack):
    """Its pictures get another size every ten."""

    SIZES = ((320, 240), (640, 360), (240, 320))

    def __init__(self):
        super().__init__()
        self.count = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        width, height = self.SIZES[self.count // 10 % len(self.SIZES)]
        self.count += 1
        frame = VideoFrame(width, height, "yuv420p")
        frame.pts, frame.time_base = pts, time_base
        return frame


async def test_the_size_may_change_in_the_middle():
    seen = set()
    async with published(point(), Growing()) as (_, _, session, publication):
        while seen != set(Growing.SIZES):
            frame = (await take(publication)).frame
            seen.add((frame.width, frame.height))
        assert not session.closed.is_set()


async def test_silence_ends_it():
    track = Pausing()
    async with published(point(read_timeout_s=0.5), track) as (_, _, session, publication):
        await take(publication)
        track.going.clear()
        await session.closed.wait()
        with pytest.raises(StreamStalled, match=r"sent no picture for 0\.5 s"):
            await asyncio.to_thread(emptied, publication)
        track.going.set()


async def test_the_camera_may_send_it_away():
    async with published(point()) as (_, _, session, publication):
        await take(publication)
        publication.close()
        await session.closed.wait()
        with pytest.raises(StreamLost, match="the camera wants no more of it"):
            await asyncio.to_thread(emptied, publication)


async def test_a_publisher_that_leaves_is_gone_at_once():
    async with published(point()) as (publisher, _, session, publication):
        await take(publication)
        await publisher.close()
        await session.closed.wait()
        with pytest.raises(StreamLost, match="its publisher is gone"):
            await asyncio.to_thread(emptied, publication)


class Slow(VideoStreamTrack):
    """Pictures whose times go by at half the speed of the clock: as if half of them were still waiting."""

    async def recv(self):
        frame = await super().recv()
        frame.pts, frame.time_base = frame.pts // 2, Fraction(1, 90_000)
        return frame


async def test_pictures_that_come_later_and_later_end_it(monkeypatch):
    monkeypatch.setattr("streamer.ingest.webrtc.lateness.LATE_S", 0.3)
    monkeypatch.setattr("streamer.ingest.webrtc.lateness.HOPELESS_S", 0.3)
    async with published(point(), Slow()) as (_, _, session, publication):
        await session.closed.wait()
        with pytest.raises(StreamStalled, match="send a smaller picture"):
            await asyncio.to_thread(emptied, publication)


async def test_an_offer_without_pictures_is_refused():
    door = point()
    with pytest.raises(OfferUnsupported, match="no video"):
        async with published(door, AudioStreamTrack()):
            pass
    assert not door.is_taken


def emptied(publication):
    while True:
        publication.take(1.0)


class Numbered(VideoStreamTrack):
    """Its pictures carry their number as eight bars, black or white: what is damaged shows none of them clearly."""

    def __init__(self):
        super().__init__()
        self._number = 0

    async def recv(self):
        frame = VideoFrame.from_ndarray(self.picture(self._number % 256), format="gray").reformat(format="yuv420p")
        self._number += 1
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame

    @staticmethod
    def picture(number):
        bars = [235 if number >> bit & 1 else 16 for bit in range(8)]
        return np.repeat(np.repeat(np.array([bars], np.uint8), 40, axis=1), 240, axis=0)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_where_a_twentieth_of_all_packets_is_lost_no_damaged_picture_comes(monkeypatch, codec):
    rng, sent = random.Random(5), StunProtocol.send_data
    dropped = 0

    async def lossy(self, data, addr):
        nonlocal dropped
        if rng.random() < 0.05:
            dropped += 1
        else:
            await sent(self, data, addr)

    numbers, worst = [], 0.0
    async with published(point(), Numbered(), codec=codec) as (_, _, _, publication):
        await take(publication)
        monkeypatch.setattr(StunProtocol, "send_data", lossy)  # either way, what asks for lost ones too
        while len(numbers) < 150:
            picture = (await take(publication)).frame.to_ndarray(format="gray")
            bits = [int(picture[:, 40 * bar + 4 : 40 * bar + 36].mean() > 125) for bar in range(8)]
            numbers.append(sum(bit << place for place, bit in enumerate(bits)))
            worst = max(worst, float(np.abs(picture.astype(int) - Numbered.picture(numbers[-1])).mean()))
        monkeypatch.setattr(StunProtocol, "send_data", sent)
    assert dropped > 10
    steps = [(after - before) % 256 for before, after in itertools.pairwise(numbers)]
    assert min(steps) >= 1, "none twice, none out of order"
    assert worst < 12, "mean grey levels from what was sent"
