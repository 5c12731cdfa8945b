"""One viewer without a network: it waits for keyframes, loses what it has no time for, and is over once."""

import asyncio
from types import SimpleNamespace

import pytest

from streamer.live_view.viewer import MOST_PACKETS, MOST_UNSENT_BYTES, Viewer


class View:
    """What the viewer asked of its camera."""

    def __init__(self):
        self.calls = []

    def begin(self, viewer):
        self.calls.append("begin")

    def leave(self, viewer):
        self.calls.append("leave")

    def want_keyframe(self):
        self.calls.append("keyframe")


class Channel:
    def __init__(self, state="open"):
        self.readyState, self.bufferedAmount, self.sent = state, 0, []

    def send(self, text):
        self.sent.append(text)


def packet(number, keyframe=False):
    return SimpleNamespace(number=number, is_keyframe=keyframe)


async def numbers(viewer, count):
    async with asyncio.timeout(30):
        return [(await viewer.take()).number for _ in range(count)]


async def test_it_begins_when_it_takes_and_with_a_keyframe():
    view = View()
    viewer = Viewer(view)
    assert view.calls == []
    first = asyncio.ensure_future(viewer.take())
    await asyncio.sleep(0)
    assert view.calls == ["begin"]
    for number in range(5):
        viewer.put(packet(number, keyframe=number == 2))
    assert [(await first).number, *await numbers(viewer, 2)] == [2, 3, 4]
    assert view.calls == ["begin"]


async def test_whoever_is_slow_goes_on_at_a_keyframe_that_was_asked_for():
    view = View()
    viewer = Viewer(view)
    viewer.put(packet(0, keyframe=True))
    for number in range(1, MOST_PACKETS + 5):
        viewer.put(packet(number))
    assert view.calls == ["keyframe"]
    viewer.put(packet(100))
    viewer.put(packet(101, keyframe=True))
    viewer.put(packet(102))
    assert await numbers(viewer, 2) == [101, 102]


async def test_it_is_over_once_and_whoever_waits_knows():
    view = View()
    viewer = Viewer(view)
    waiting = asyncio.ensure_future(viewer.take())
    await asyncio.sleep(0)
    viewer.end("the camera was removed")
    viewer.end("another reason")
    viewer.put(packet(0, keyframe=True))
    assert await waiting is None
    assert await viewer.take() is None
    assert (view.calls, viewer.why_over) == (["begin", "leave"], "the camera was removed")


async def test_over_before_it_begins_it_never_begins():
    view = View()
    viewer = Viewer(view)
    viewer.end("gone")
    assert await viewer.take() is None
    assert view.calls == ["leave"]


def test_messages_wait_for_nobody_and_the_state_is_told_to_whoever_listens_later():
    viewer, channel = Viewer(View()), Channel()
    viewer.tell("lost: nobody listens")
    viewer.tell_state("offline")
    viewer.tell_state("online")
    viewer.listen(channel)
    viewer.tell("faces 1")
    channel.bufferedAmount = MOST_UNSENT_BYTES
    viewer.tell("faces 2")
    viewer.tell_state("stalled")
    channel.bufferedAmount = 0
    viewer.tell("faces 3")
    assert channel.sent == ["online", "faces 1", "stalled", "faces 3"]


@pytest.mark.parametrize("state", ["connecting", "closing", "closed"])
def test_a_channel_that_is_not_open_is_sent_nothing(state):
    viewer, channel = Viewer(View()), Channel(state)
    viewer.listen(channel)
    viewer.tell("faces")
    viewer.tell_state("online")
    assert channel.sent == []
