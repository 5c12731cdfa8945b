"""A camera's pictures as JPEGs without HTTP: encoded once, while somebody looks, the newest; what is told of them."""

import asyncio
import json
import logging
import threading
from dataclasses import replace

import cv2
import numpy as np

from streamer.live_view import jpeg_view
from streamer.live_view.view import LiveView
from streamer.pipeline.camera import CameraStatus
from streamer.telemetry.metrics import Metrics
from tests.streamer.live_view.test_camera_view import counted, view_of_door
from tests.streamer.live_view.viewers import ADA, FACE, NAMES, picture


async def taken(mailbox, kind="picture"):
    """The next messages up to one of this kind."""
    found = []
    while not found or found[-1].kind != kind:
        found += await mailbox.take()
    return found


def at(number, second):
    return replace(picture(0), number=number, captured_s=1000.0 + second)


async def test_a_picture_is_encoded_once_for_all_and_told_with_its_faces():
    metrics = Metrics()
    async with view_of_door(metrics) as view:
        view.became(CameraStatus("online"))
        view.taken(picture(0))
        with view.pictures(None, is_told=True) as one, view.pictures(None, is_told=False) as other:
            assert view.looks
            assert metrics.registry.get_sample_value("whosthere_viewers", {"camera": "door"}) == 2
            frame = picture(7)
            view.taken(frame)
            state, shown = [message for message in await taken(one) if message.kind in ("state", "picture")]
            assert json.loads(state.text)["state"] == "online"
            told = json.loads(shown.text)
            assert (told["frame"], told["width"], told["height"], told["jpeg"]) == (7, 320, 240, len(shown.data))
            found = cv2.imdecode(np.frombuffer(shown.data, np.uint8), cv2.IMREAD_COLOR)
            assert found.shape == (240, 320, 3)
            assert (await taken(other)) == [shown]
            view.looked(frame, [FACE])
            (faces,) = await one.take()
            message = json.loads(faces.text)
            assert (message["frame"], message["media_time"]) == (7, told["media_time"])
            assert message["faces"][0]["person"] == {"id": ADA, "name": NAMES[ADA]}
            assert len(other) == 0, "who wants pictures alone is told nothing else"
        assert not view.looks
        assert metrics.registry.get_sample_value("whosthere_viewers", {"camera": "door"}) == 0
        view.taken(picture(8))
        assert (counted(metrics, "encoded"), counted(metrics, "dropped")) == (1, 0)


async def test_each_has_as_many_as_it_wants_and_nothing_is_encoded_for_nobody():
    metrics = Metrics()
    async with view_of_door(metrics) as view:
        with view.pictures(5, is_told=True) as wall, view.pictures(2, is_told=True) as slow:
            seen = {"wall": [], "slow": []}
            for number in range(20):
                before = counted(metrics, "encoded")
                view.taken(at(number, number / 10))
                if number % 2 == 0 or number % 5 == 0:
                    while counted(metrics, "encoded") == before:
                        await asyncio.sleep(0.001)
                for name, mailbox in (("wall", wall), ("slow", slow)):
                    while len(mailbox):
                        told = [json.loads(message.text) for message in await mailbox.take()]
                        seen[name] += [message["frame"] for message in told if "jpeg" in message]
            assert seen == {"wall": list(range(0, 20, 2)), "slow": [0, 5, 10, 15]}
            assert counted(metrics, "encoded") == 12


async def test_the_faces_of_frames_that_nobody_is_sent_are_not_told():
    async with view_of_door() as view:
        with view.pictures(5, is_told=True) as mailbox:
            for number in range(2):
                frame = at(number, number / 10)
                view.taken(frame)
                view.looked(frame, [FACE])
            told = await taken(mailbox)
            assert [json.loads(message.text)["frame"] for message in told if message.kind == "faces"] == [0]


async def test_the_newest_is_encoded_where_encoding_is_late(monkeypatch):
    metrics, may_go, begun = Metrics(), threading.Event(), threading.Event()
    encode = jpeg_view.jpeg_of

    def slow(image):
        begun.set()
        assert may_go.wait(10)
        return encode(image)

    monkeypatch.setattr(jpeg_view, "jpeg_of", slow)
    async with view_of_door(metrics) as view:
        with view.pictures(None, is_told=True) as mailbox:
            view.taken(at(0, 0))
            await asyncio.to_thread(begun.wait, 10)
            for number in range(1, 6):
                view.taken(at(number, number))
            may_go.set()
            while counted(metrics, "encoded") < 2:
                await asyncio.sleep(0.01)
            (shown,) = [message for message in await taken(mailbox) if message.kind == "picture"]
            assert json.loads(shown.text)["frame"] == 5, "of what waits for a slow listener the newest stays"
            assert counted(metrics, "dropped") == 4


async def test_a_picture_that_cant_be_encoded_is_told_once_and_the_next_ones_go_on(monkeypatch, caplog):
    metrics, left = Metrics(), [cv2.error("no")] * 3
    encode = jpeg_view.jpeg_of

    def broken(image):
        if left:
            raise left.pop()
        return encode(image)

    monkeypatch.setattr(jpeg_view, "jpeg_of", broken)
    caplog.set_level(logging.WARNING)
    async with view_of_door(metrics) as view:
        with view.pictures(None, is_told=False) as mailbox:
            for number in range(3):
                view.taken(picture(number))
                while counted(metrics, "failed") <= number:
                    await asyncio.sleep(0.01)
            view.taken(picture(3))
            await taken(mailbox)
    (told,) = [record for record in caplog.records if getattr(record, "code", None) == "view_failed"]
    assert "camera door" in told.getMessage()


async def test_the_end_of_camera_and_service_is_told_and_leaves_no_thread():
    async with view_of_door() as view:
        with view.pictures(None, is_told=True) as mailbox:
            view.taken(picture(0))
            await taken(mailbox)
            view.became(CameraStatus("offline", "stream_lost"))
            (state,) = await mailbox.take()
            assert json.loads(state.text)["reason"] == "stream_lost"
            view.end("the camera was removed")
            assert mailbox.over == ("camera_unknown", "the camera was removed")
        with view.pictures(None, is_told=True) as mailbox:
            assert mailbox.over is not None, "who comes too late is told so"
    async with asyncio.timeout(30):
        while any(thread.name.startswith("jpeg-") for thread in threading.enumerate()):
            await asyncio.sleep(0.01)


async def test_whoever_comes_when_the_service_stops_is_told_so():
    live_view = LiveView(NAMES.get, Metrics())
    live_view.view("door", 10.0)
    with live_view.pictures("door", None, is_told=False) as mailbox:
        assert mailbox.over == ("service_stopping", "the service stops")
