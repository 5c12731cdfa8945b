"""A WHIP publisher as a program: python -m tests.live.whip_peer ENDPOINT PASSWORD. Sends until it is killed."""

import asyncio
import sys

import httpx

from tests.faces import KNOWN
from tests.live.publishing import Film
from tests.streamer.webrtc.peers import Publisher

AGAIN_S = 0.2


async def publish(endpoint: str, password: str) -> None:
    publisher = Publisher(Film(KNOWN))
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {password}"}
    offer = await publisher.offer()
    async with httpx.AsyncClient(timeout=20) as client:
        while (answer := await client.post(endpoint, content=offer, headers=headers)).status_code != 201:
            await asyncio.sleep(AGAIN_S)
    await publisher.accept(answer.text)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(publish(*sys.argv[1:]))
