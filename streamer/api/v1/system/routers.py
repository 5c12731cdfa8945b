"""The routers of this folder over a running service, in the order in which /docs shows them."""

from fastapi import APIRouter

from streamer.api.v1.system import cameras
from streamer.cameras.desk import CameraDesk


def system_routes(desk: CameraDesk) -> list[APIRouter]:
    """What runs, and how it is set."""
    return [cameras.routes(desk)]
