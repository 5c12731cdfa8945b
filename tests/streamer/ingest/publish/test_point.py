"""One publisher at a time: who is let in, who gives way, who is waited for."""

import asyncio

import pytest

from streamer.errors import CameraVariableUnset, PublisherPresent, StreamLost
from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.point import SILENT_AFTER_S, PublishPoint
from streamer.ingest.publish.publication import EncodedPicture, Publication, PublishedStream
from streamer.settings import CameraSettings


class Time:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def publication(closed: list[str], name: str = "") -> Publication:
    made = Publication(PublishedStream("h264", "rtsp tcp"), lambda: closed.append(name))
    made.last_s = Time.now_s
    return made


def picture(at_s: float) -> EncodedPicture:
    return EncodedPicture(b"x", 0, is_keyframe=True, at=Instant(at_s, at_s))


def point(time: Time | None = None, **camera: object) -> PublishPoint:
    settings = {"url": "publish://", "password": "word", **camera}
    return PublishPoint("door", CameraSettings.model_validate(settings), time or Time())


@pytest.mark.parametrize("stalled_after_s", [1.0, SILENT_AFTER_S, 30.0])
def test_a_silent_publisher_gives_way_and_no_other_one_does(stalled_after_s: float):
    time, closed = Time(), []
    door = point(time, stalled_after_s=stalled_after_s)
    first, second = publication(closed, "first"), publication(closed, "second")
    door.admit(first)
    time.now_s += 10.0
    first.put(picture(time.now_s))
    time.now_s += stalled_after_s - 0.01
    with pytest.raises(PublisherPresent, match="door: somebody publishes to it already"):
        door.admit(second)
    assert closed == []
    time.now_s += 0.01
    door.admit(second)
    assert closed == ["first"]
    first.take(0)
    with pytest.raises(StreamLost, match="another one took its place"):
        first.take(0)
    assert door.is_taken


def test_after_one_that_is_over_the_next_one_comes_at_once():
    door, closed = point(), list[str]()
    for name in ("first", "second"):
        now = publication(closed, name)
        door.admit(now)
        now.end(StreamLost("gone"))
        assert not door.is_taken
    assert closed == []


async def test_the_camera_waits_for_the_publisher_of_now():
    door, closed = point(), list[str]()
    first = publication(closed)
    door.admit(first)
    assert await door.next() is first
    assert await door.next() is first  # a camera that failed on the way finds it again
    first.end(StreamLost("gone"))
    waiting = asyncio.create_task(door.next(), name="waiting")
    await asyncio.sleep(0)
    assert not waiting.done()
    second = publication(closed)
    door.admit(second)
    async with asyncio.timeout(10):
        assert await waiting is second


async def test_the_login(monkeypatch, tmp_path):
    assert point().login() == ("door", "word")
    assert point(user="${U}@x", password="${P}").camera.password == "${P}"
    monkeypatch.setenv("U", "ada")
    monkeypatch.setenv("P_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("p@ss:w/rd\n")
    assert point(user="${U}@x", password="${P}").login() == ("ada@x", "p@ss:w/rd")
    for value in ("", "\n"):
        (tmp_path / "secret").write_text(value)
        with pytest.raises(CameraVariableUnset, match="its password is empty"):
            point(password="${P}").login()
    with pytest.raises(CameraVariableUnset, match="NOBODY_SET_IT is not set"):
        await point(password="${NOBODY_SET_IT}").next()
