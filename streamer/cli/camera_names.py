"""What a command says to the name of a camera that is not there."""

from recognition.near_names import did_you_mean
from streamer.errors import CameraUnknown
from streamer.settings import Settings


def unknown_camera(name: str, settings: Settings, way_out: str) -> CameraUnknown:
    """The error for a camera that the configuration has not."""
    hint = did_you_mean(name, settings.cameras, f"there are: {', '.join(settings.cameras) or 'none'}")
    return CameraUnknown(f"{name} is no configured camera{hint} ({way_out})")
