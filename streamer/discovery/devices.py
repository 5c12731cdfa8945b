"""Devices that have announced themselves, each asked for its streams; several at once. On the loop."""

import asyncio
from collections.abc import Sequence

from streamer.discovery.device import Device, DeviceLogin, NotAnswered
from streamer.discovery.proposal import camera_name
from streamer.discovery.ws_discovery import Announcement

_AT_ONCE = 8


async def devices_of(answered: Sequence[Announcement], login: DeviceLogin | None, taken: Sequence[str]) -> list[Device]:
    """In their order, with names that nobody has yet (`taken`); without a login nobody is asked for streams."""
    from streamer.discovery.onvif import streams_of  # httpx takes its time to import, few commands need it

    gate = asyncio.Semaphore(_AT_ONCE)

    async def asked(name: str, answer: Announcement) -> Device:
        if login is None:
            return Device(name, answer)
        try:
            async with gate:
                return Device(name, answer, tuple(await streams_of(answer.url, login)))
        except NotAnswered as why:
            return Device(name, answer, reason=str(why))

    names: list[str] = []
    for answer in answered:
        names.append(camera_name(answer.name or answer.hardware, answer.address, [*taken, *names]))
    return list(await asyncio.gather(*map(asked, names, answered)))
