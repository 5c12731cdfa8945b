"""Mailboxes: in order, bounded, and what goes when they are full."""

import asyncio

import pytest

from streamer.api.streaming.messages import LatestMailbox, Mailbox, Message


async def taken(mailbox: Mailbox) -> list[str]:
    async with asyncio.timeout(10):
        return [message.text for message in await mailbox.take()]


@pytest.mark.parametrize(
    ("message", "sse"),
    [
        (Message("{}"), b"data: {}\n\n"),
        (Message('{"a":1}', "r-7"), b'id: r-7\ndata: {"a":1}\n\n'),
        (Message("Émilie", "x"), "id: x\ndata: Émilie\n\n".encode()),
    ],
)
def test_a_message_as_an_event(message, sse):
    assert message.sse == sse


async def test_all_come_in_order_in_batches():
    mailbox = Mailbox(200)
    for number in range(150):
        mailbox.put(Message(str(number)))
    batches = []
    while len(mailbox):
        batches.append(await taken(mailbox))
    assert [text for batch in batches for text in batch] == [str(number) for number in range(150)]
    assert list(map(len, batches)) == [64, 64, 22]


async def test_the_newest_ones_stay_where_the_newest_counts():
    mailbox = Mailbox(2, newest_counts=True)
    for number in range(5):
        mailbox.put(Message(str(number)))
    assert await taken(mailbox) == ["3", "4"]
    assert not mailbox.overflowed


async def test_else_it_is_over_and_keeps_nothing():
    mailbox = Mailbox(2)
    for number in range(5):
        mailbox.put(Message(str(number)))
    assert (mailbox.overflowed, len(mailbox), await taken(mailbox)) == (True, 0, [])


async def test_it_is_woken_with_nothing_and_waits_again():
    mailbox = Mailbox(2)
    mailbox.wake()
    assert await taken(mailbox) == []
    waits = asyncio.ensure_future(mailbox.take())
    await asyncio.sleep(0)
    assert not waits.done()
    mailbox.put(Message("x"))
    assert await waits == [Message("x")]


async def test_of_each_kind_the_newest_stays():
    mailbox = LatestMailbox()
    for number in range(3):
        mailbox.put(Message(f"state {number}", kind="state"))
        mailbox.put(Message(f"picture {number}", kind="picture"))
        mailbox.put(Message(f"faces {number}", kind="faces"))
    mailbox.put(Message("picture 3", kind="picture"))
    assert await taken(mailbox) == ["state 2", "faces 2", "picture 3"]
    assert not mailbox.overflowed
