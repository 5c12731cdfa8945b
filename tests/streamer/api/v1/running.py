"""A whole service in this process, asked over HTTP by clients of each role: nobody serves a broker to it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from streamer.access.roles import ROLES
from streamer.access.token_file import make_token
from streamer.app import Configured, Service, running_service
from streamer.process import make_data_folder
from streamer.settings_reading import read_layers
from tests.conftest import PROJECT
from tests.streamer.access.keys import bearer
from tests.streamer.api.v1.api import Api


@asynccontextmanager
async def running(
    folder: Path, cameras: Mapping[str, Any] | None = None, *, follows: bool = True, **sections: Any
) -> AsyncIterator[tuple[Service, Api]]:
    """follows: whether it follows its configuration, folder/whosthere.yaml; else its cameras stay as they are."""
    file = folder / "whosthere.yaml"
    tree = {
        "paths": {"models": [str(PROJECT / "model" / "artifacts")], "data": "var"},
        "http": {"port": 0},
        "ingest": {"rtsp": {"port": 0}, "webrtc": {"enabled": False}},
        "mqtt": {"port": 1},
        "recognition": {"runners": 1},
        "cameras": dict(cameras or {}),
    }
    file.write_text(yaml.safe_dump(tree | sections))
    layers = read_layers(file, (), {})
    settings = layers.settings(layers.changes())
    make_data_folder(settings.paths.data)
    headers = {role: bearer(make_token(settings.tokens_path, f"the {role}", role)[1]) for role in ROLES}
    configured = Configured(layers, lambda: read_layers(file, (), {})) if follows else None
    async with (
        running_service(settings, configured=configured) as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}", timeout=30) as client,
    ):
        yield service, Api(client, headers)
