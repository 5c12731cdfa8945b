"""Whether anybody answers at a camera's address: asked before one that was lost is opened again.

A URL goes in. Where packets vanish TCP asks again after 1, 3 and 7 s alone, and a camera that is back would wait for
that: so it is asked anew every second. On the loop, which no name is resolved for.
"""

import asyncio
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

ASK_EVERY_S = 1.0
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


async def is_silent(url: str, limit_s: float) -> bool:
    """Whether nobody has answered in so long, not even to refuse; False as well where that can't be asked."""
    where = _where(url)
    if where is None:
        return False
    answered = asyncio.Event()
    try:
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as asking:
            asked = []
            while not answered.is_set():
                asked.append(asking.create_task(_ask(where, answered), name="ask camera"))
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASK_EVERY_S):
                        await answered.wait()
            for task in asked:
                task.cancel()
    except TimeoutError:
        return True
    return False


async def _ask(where: tuple[str, int], answered: asyncio.Event) -> None:
    with suppress(OSError):  # a refusal is an answer
        _, writer = await asyncio.open_connection(*where)
        writer.close()
    answered.set()


def _where(url: str) -> tuple[str, int] | None:
    """Address and port; None where there is none, or a name, which somebody would have to be asked about."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme.lower()]
        return str(ip_address(parts.hostname or "")), port
    except (ValueError, KeyError):
        return None
