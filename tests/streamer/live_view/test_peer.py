"""Viewers of aiortc's, by way of real sessions: pictures and messages come, encoded once, and nothing stays."""

import asyncio
import random
import threading

import pytest
from aiortc import RTCDtlsTransport

from streamer.errors import CameraDisabled, CameraUnknown
from streamer.pipeline.camera import CameraStatus
from streamer.telemetry.metrics import Metrics
from streamer.webrtc.errors import OfferUnsupported, TooManySessions
from tests.streamer.live_view.viewers import ADA, Browser, a_view, busy_picture, filming
from tests.streamer.webrtc.peers import nothing_left


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels) or 0.0


def encoding_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("view-")]


async def test_a_viewer_sees_pictures_with_faces_and_the_cameras_state():
    async with nothing_left(), asyncio.timeout(20), a_view() as (live_view, sessions):
        view, browser = live_view.view("door", 20.0), Browser()
        async with filming(view):
            await browser.open(sessions, live_view)
            shown = await browser.pictures.get()
            state = await browser.told("state")
            message = await browser.told("faces")
        assert (shown.width, shown.height) == (320, 240)
        assert (state["state"], state["reason"]) == ("online", None)
        assert (message["width"], message["height"]) == (320, 240)
        (face,) = message["faces"]
        assert face == {
            "box": [10, 20, 60, 90],
            "score": 0.9,
            "decision": "known",
            "person": {"id": ADA, "name": "Ada Lovelace"},
            "similarity": 0.71,
            "quality": 0.83,
        }
        await browser.close()


async def test_one_encoder_serves_all_viewers_and_ends_with_the_last():
    metrics = Metrics()
    async with nothing_left(), asyncio.timeout(30), a_view(metrics) as (live_view, sessions):
        view, browsers = live_view.view("door", 20.0), [Browser() for _ in range(4)]
        async with filming(view) as given:
            assert encoding_threads() == []
            for browser in browsers:
                await browser.open(sessions, live_view)
            for browser in browsers:
                for _ in range(10):
                    await browser.pictures.get()
            assert len(encoding_threads()) == 1
            assert value(metrics, "whosthere_viewers", camera="door") == 4
            encoded = value(metrics, "whosthere_view_frames_total", camera="door", outcome="encoded")
            assert 10 <= encoded <= len(given)
            for browser in browsers:
                await browser.close()
            while view.looks or encoding_threads():
                await asyncio.sleep(0.01)
            await sessions.close_all("the test looks")
            assert value(metrics, "whosthere_viewers", camera="door") == 0
            encoded = value(metrics, "whosthere_view_frames_total", camera="door", outcome="encoded")
            seen = len(given)
            while len(given) < seen + 5:
                await asyncio.sleep(0.01)
            assert value(metrics, "whosthere_view_frames_total", camera="door", outcome="encoded") == encoded


async def test_a_viewer_whose_picture_is_damaged_gets_a_keyframe():
    async with nothing_left(), asyncio.timeout(20), a_view() as (live_view, sessions):
        view, browser = live_view.view("door", 20.0), Browser()
        async with filming(view):
            await browser.open(sessions, live_view)
            await browser.pictures.get()
            beside = view.admit()
            packets = [await beside.take() for _ in range(15)]
            assert [packet.is_keyframe for packet in packets] == [True] + [False] * 14
            await browser.want_keyframe()
            while not (await beside.take()).is_keyframe:
                pass
            beside.end("seen")
        await browser.close()


async def test_a_camera_that_goes_offline_is_told_of_and_goes_on_in_the_same_session():
    async with nothing_left(), asyncio.timeout(20), a_view() as (live_view, sessions):
        view, browser = live_view.view("door", 20.0), Browser()
        async with filming(view):
            session = await browser.open(sessions, live_view)
            await browser.pictures.get()
            assert (await browser.told("state"))["state"] == "online"
        for state, reason in (("stalled", "stream_stalled"), ("offline", "camera_unreachable")):
            live_view.became("door", CameraStatus(state, reason))
            told = await browser.told("state")
            assert (told["state"], told["reason"]) == (state, reason)
        live_view.became("door", CameraStatus("online"))
        assert (await browser.told("state"))["reason"] is None
        while not browser.pictures.empty():
            browser.pictures.get_nowait()
        async with filming(view, shape=(160, 120)):  # it came back as another one
            while (await browser.pictures.get()).width != 160:
                pass
        assert not session.closed.is_set()
        await browser.close()


async def test_viewers_of_a_camera_that_is_removed_are_sent_away():
    async with nothing_left(), asyncio.timeout(20), a_view(cameras=("door", "hall")) as (live_view, sessions):
        view, browser, other = live_view.view("door", 20.0), Browser(), Browser()
        async with filming(view), filming(live_view.view("hall", 20.0)):
            session = await browser.open(sessions, live_view)
            await other.open(sessions, live_view, "hall")
            await browser.pictures.get()
            live_view.removed("door")
            await session.closed.wait()
            await other.pictures.get()
            with pytest.raises(CameraUnknown):
                live_view.peer("door")
        await browser.close()
        await other.close()


async def test_who_may_not_look_and_leaves_nothing():
    metrics = Metrics()
    async with nothing_left(), asyncio.timeout(20), a_view(metrics, most=2) as (live_view, sessions):
        live_view.view("attic", 10.0)
        live_view.became("attic", CameraStatus("disabled"))
        first, second, third = Browser(), Browser(), Browser()
        with pytest.raises(CameraDisabled, match="attic"):
            await first.open(sessions, live_view, "attic")
        with pytest.raises(CameraUnknown, match="cellar"):
            await first.open(sessions, live_view, "cellar")
        await first.close()
        first = Browser()
        session = await first.open(sessions, live_view)
        await second.open(sessions, live_view)
        with pytest.raises(TooManySessions):
            await third.open(sessions, live_view)
        assert value(metrics, "whosthere_viewers", camera="door") == 2
        await sessions.close("door", session.id)
        await third.close()
        third = Browser()
        await third.open(sessions, live_view)
        for browser in (first, second, third):
            await browser.close()


@pytest.mark.parametrize(("old", "new"), [("VP8", "VP7"), ("a=recvonly", "a=sendonly"), ("m=video", "m=audio")])
async def test_an_offer_that_asks_for_no_vp8_is_refused(old, new):
    metrics = Metrics()
    async with nothing_left(), a_view(metrics) as (live_view, sessions):
        browser = Browser()
        await browser.connection.setLocalDescription(await browser.connection.createOffer())
        offer = browser.connection.localDescription.sdp.replace(old, new)
        with pytest.raises(OfferUnsupported):
            await sessions.open("door", offer, live_view.peer("door"))
        assert value(metrics, "whosthere_viewers", camera="door") == 0
        await browser.close()


async def test_a_viewer_without_a_channel_sees_the_pictures():
    async with nothing_left(), asyncio.timeout(20), a_view() as (live_view, sessions):
        browser = Browser(channel=None)
        async with filming(live_view.view("door", 20.0)):
            await browser.open(sessions, live_view)
            assert (await browser.pictures.get()).width == 320
        await browser.close()


async def test_a_viewer_that_vanishes_is_dropped(monkeypatch):
    """Without a goodbye: its machine lost its power. ICE asks every 5 s, and gives up after 6 without an answer."""
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.2)
    metrics = Metrics()
    async with nothing_left(), asyncio.timeout(20), a_view(metrics) as (live_view, sessions):
        view, browser = live_view.view("door", 20.0), Browser()
        async with filming(view):
            session = await browser.open(sessions, live_view)
            await browser.pictures.get()
            browser.vanish()
            await session.closed.wait()
            assert not view.looks
            assert value(metrics, "whosthere_viewers", camera="door") == 0
            while encoding_threads():
                await asyncio.sleep(0.01)
        await browser.close()


@pytest.mark.parametrize("share", [0.005, 0.05])
async def test_lost_packets_freeze_nothing(monkeypatch, share):
    """Dropped before they are encrypted, on both sides: pictures, what is sent again, and what asks for it."""
    dice, lost, send = random.Random(7), [], RTCDtlsTransport._send_rtp

    async def lossy(self, data):
        if dice.random() < share:
            lost.append(data)
        else:
            await send(self, data)

    async with nothing_left(), asyncio.timeout(60), a_view() as (live_view, sessions):
        browser = Browser()
        async with filming(live_view.view("door", 20.0), shape=(640, 360), make=busy_picture):
            await browser.open(sessions, live_view)
            await browser.pictures.get()
            monkeypatch.setattr(RTCDtlsTransport, "_send_rtp", lossy)
            while len(lost) < 6:
                await asyncio.sleep(0.01)
            monkeypatch.undo()
            # aiortc asks once for a packet; where what is sent again is lost, too, it waits for 128 others, then for a
            # keyframe.
            shown = browser.pictures.qsize()
            while browser.pictures.qsize() < shown + 20:
                await asyncio.sleep(0.01)
        await browser.close()
