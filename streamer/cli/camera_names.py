"""Cameras by the names or URLs that commands are given, and what is said of one that is not there."""

from recognition.near_names import did_you_mean
from streamer.errors import CameraUnknown
from streamer.settings import CameraSettings, Settings


def unknown_camera(name: str, settings: Settings, way_out: str) -> CameraUnknown:
    """The error for a camera that the configuration has not."""
    hint = did_you_mean(name, settings.cameras, f"there are: {', '.join(settings.cameras) or 'none'}")
    return CameraUnknown(f"{name} is no configured camera{hint} ({way_out})")


def camera_or_url(settings: Settings, name_or_url: str) -> tuple[CameraSettings, str]:
    """A configured camera, or one for this URL, file or device; and what to call it. Raises CameraUnknown."""
    camera = settings.cameras.get(name_or_url)
    if camera is not None:
        return camera, name_or_url
    if not any(mark in name_or_url for mark in "/:.$"):
        way_out = f"add it by `whosthere cameras add`, or give a URL or a file: ./{name_or_url}"
        raise unknown_camera(name_or_url, settings, way_out)
    return CameraSettings(url=name_or_url), "probe"
