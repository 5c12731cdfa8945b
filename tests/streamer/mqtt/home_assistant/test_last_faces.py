"""The last face at a camera: which are published, in what order, and whom nothing shows any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import cv2
import numpy as np
import pytest

from recognition.image import ArrayImage
from streamer.mqtt.home_assistant.last_faces import LastFaces
from streamer.settings import MqttSettings
from tests.live.service import until
from tests.streamer.messages import ADA, BOB, due

FRAME = ArrayImage(np.random.default_rng(7).integers(0, 255, (720, 1280, 3), np.uint8))
TOPIC = "whosthere/cameras/door/last_face"


class Sent:
    """What was sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, np.ndarray, bool]] = []

    async def send(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        picture = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        self.messages.append((topic, picture, retain))
        return True

    @property
    def is_blank(self) -> list[bool]:
        return [bool(picture.std() < 1) for _, picture, _ in self.messages]


def faces(pictures: str, **options: Any) -> LastFaces:
    async def at_once() -> None:
        return

    home = {"enabled": True, "pictures": pictures} | options
    made = LastFaces(MqttSettings(home_assistant=home), None, at_once)
    made.add_camera("door")
    return made


@asynccontextmanager
async def sending(made: LastFaces) -> AsyncIterator[Sent]:
    sent = Sent()
    run = asyncio.create_task(made.run(sent.send))
    yield sent
    run.cancel()
    await asyncio.wait((run,))


@pytest.mark.parametrize(
    ("pictures", "person", "count"),
    [("all", ADA, 1), ("all", None, 1), ("known", ADA, 1), ("known", None, 0), ("none", ADA, 0)],
)
async def test_those_that_are_wanted_are_published_and_not_retained(pictures, person, count):
    made = faces(pictures)
    async with sending(made) as sent:
        await made.told("door", FRAME, [due("a1n", person=person)])
        await until(lambda: len(sent.messages) == count)
    assert [(topic, retain) for topic, _, retain in sent.messages] == [(TOPIC, False)] * count


async def test_it_is_the_face_with_what_is_around_it_and_no_larger_than_it_need_be():
    made = faces("all")
    async with sending(made) as sent:
        await made.told("door", FRAME, [due("a1n")])
        await until(lambda: sent.messages)
        large = due("b1n")
        large = type(large)(large.event.model_copy(update={"box": (0, 0, 1280, 720)}), large.levels)
        await made.told("door", FRAME, [large])
        await until(lambda: len(sent.messages) == 2)
    first, second = (picture.shape for _, picture, _ in sent.messages)
    assert first == (180, 170, 3)  # the box is 100 by 100, near the corner
    assert second == (360, 640, 3)


async def test_neither_an_end_nor_a_face_out_of_the_picture_has_one():
    made = faces("all")
    outside = due("a1n")
    outside = type(outside)(outside.event.model_copy(update={"box": (1280, 720, 1280, 720)}), outside.levels)
    async with sending(made) as sent:
        await made.told("door", FRAME, [due("a2e")])
        await made.told("door", FRAME, [outside])
        await made.told("hall", FRAME, [due("a1n")])
        await made.told("door", FRAME, [due("b1n")])
        await until(lambda: sent.messages)
    assert len(sent.messages) == 1


async def test_who_is_forgotten_is_shown_no_more():
    made = faces("all")
    async with sending(made) as sent:
        await made.told("door", FRAME, [due("a1n", candidates=(ADA, BOB))])
        await until(lambda: sent.messages)
        made.forget([BOB])
        await until(lambda: len(sent.messages) == 2)
        await made.told("door", FRAME, [due("b1n", person=BOB)])  # a verdict that was on its way
        await made.told("door", FRAME, [due("c1n")])
        await until(lambda: len(sent.messages) == 3)
        made.forget([])
        made.forget([ADA])  # the stranger of just now may have been her, or she stood beside
        await until(lambda: len(sent.messages) == 4)
    assert sent.is_blank == [False, True, False, True]


async def test_a_picture_that_is_being_made_while_somebody_is_forgotten_is_not_shown():
    made = faces("all")
    async with sending(made) as sent:
        making = asyncio.create_task(made.told("door", FRAME, [due("a1n", person=None)]))
        await asyncio.sleep(0)  # it is with the pool now
        made.forget([ADA])
        await making
        await until(lambda: sent.messages)
    assert sent.is_blank == [True]


async def test_what_was_shown_before_this_run_may_be_theirs():
    made = faces("known")
    made.forget([ADA])
    async with sending(made) as sent:
        await until(lambda: sent.messages)
    assert sent.is_blank == [True]


async def test_a_camera_that_is_removed_has_none():
    made = faces("all")
    await made.told("door", FRAME, [due("a1n")])
    made.remove_camera("door")
    made.add_camera("hall")
    async with sending(made) as sent:
        await made.told("door", FRAME, [due("b1n")])
        await made.told("hall", FRAME, [due("c1n")])
        await until(lambda: sent.messages)
    assert [topic for topic, _, _ in sent.messages] == ["whosthere/cameras/hall/last_face"]
