"""A token for the benchmark's own service."""

import asyncio

from streamer.access.token_file import make_token
from streamer.app import Service


async def token_of(service: Service) -> str:
    """An operator's secret, which the service knows once this is answered. Its data folder is the benchmark's own."""
    _, secret = await asyncio.to_thread(make_token, service.settings.tokens_path, "bench", "operator")
    await asyncio.to_thread(service.tokens.look)
    return secret
