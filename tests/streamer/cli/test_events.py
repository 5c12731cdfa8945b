"""What `events` says beside the events: that it waits, and what becomes of the broker."""

import asyncio

import pytest

from streamer.cli.events import line_of
from streamer.cli.live_events import again_and_again
from streamer.errors import BrokerLoginRefused, BrokerLost
from streamer.events.event import named
from tests.streamer.messages import ADA, BOB, due


class Scripted:
    """A follower whose broker does this, time after time: answers, then is lost, or refuses."""

    def __init__(self, *does: Exception | None) -> None:
        self.does = list(does)

    async def listen(self, listening) -> None:
        does = self.does.pop(0)
        if not isinstance(does, BrokerLoginRefused):
            listening()
        if does is not None:
            raise does


WAITS = "waiting for events at h:1883; Ctrl-C ends it\n"
LOST = BrokerLost("the broker is gone")


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ([None], WAITS),
        ([LOST, None], f"{WAITS}the broker is gone; waiting for it\nthe broker is back\n"),
        ([LOST, LOST, None], WAITS + "the broker is gone; waiting for it\nthe broker is back\n" * 2),
    ],
)
async def test_it_says_that_it_waits_once_the_broker_has_answered(monkeypatch, capsys, does, said):
    monkeypatch.setattr("random.uniform", lambda least, most: 0.0)
    async with asyncio.timeout(20):
        await again_and_again(Scripted(*does), WAITS.strip())
    assert capsys.readouterr().err == said


async def test_a_broker_that_never_answered_ends_it_without_that(capsys):
    with pytest.raises(BrokerLoginRefused):
        await again_and_again(Scripted(BrokerLoginRefused("it refuses the login")), WAITS.strip())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (due("a1n"), "door new Ada similarity 0.70"),
        (due("a1n", person=BOB), f"door new {BOB} similarity 0.70"),
        (due("a1n", person=None), "door new unknown"),
        (due("a1n", candidates=(ADA, BOB)), f"door new ambiguous (Ada or {BOB}) similarity 0.70"),
        (due("a2e"), "door end Ada similarity 0.70 (left)"),
    ],
)
def test_a_line_says_who_it_is_or_may_be(message, line):
    assert line_of(named(message.event, {ADA: "Ada"}.get)).partition(" ")[2] == line
