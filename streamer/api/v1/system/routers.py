"""The routers of this folder over a running service."""

from fastapi import APIRouter

from streamer.api.gallery_desk import GalleryDesk
from streamer.api.v1.system import calibration, cameras, models, service
from streamer.cameras.desk import CameraDesk
from streamer.model_layer.choosing import ModelChooser
from streamer.model_layer.layer import ModelLayer
from streamer.settings import Settings


def system_routes(
    running: service.Service, settings: Settings, cameras_desk: CameraDesk, desk: GalleryDesk, chooser: ModelChooser
) -> list[APIRouter]:
    """What runs, and how it is set; in the order in which /docs shows them."""
    return [
        cameras.routes(cameras_desk, desk),
        *model_routes(running.models, chooser),
        calibration.routes(desk, settings, running.models.manager),
        service.routes(running, desk),
    ]


def model_routes(layer: ModelLayer, chooser: ModelChooser) -> list[APIRouter]:
    """What goes without cameras and gallery, too."""
    return [models.routes(layer, chooser)]
