"""Somebody who watches a camera by WHEP with aiortc, and throws its pictures away."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from streamer.webrtc.sessions import close_connection


@asynccontextmanager
async def viewing(url: str, camera: str, headers: Mapping[str, str]) -> AsyncIterator[None]:
    """While it lasts."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", direction="recvonly")
    tasks = list[asyncio.Task[None]]()

    async def take(track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                await track.recv()

    connection.on(
        "track", lambda track: tasks.append(asyncio.get_running_loop().create_task(take(track), name="viewer"))
    )
    await connection.setLocalDescription(await connection.createOffer())
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        answer = await client.post(
            f"/whep/{camera}",
            content=connection.localDescription.sdp,
            headers={**headers, "Content-Type": "application/sdp"},
        )
        answer.raise_for_status()
        await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        try:
            yield
        finally:
            await close_connection(connection)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
