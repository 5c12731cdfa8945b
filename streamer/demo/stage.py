"""Sets the demo's stage: the user's settings in, those of a service with its own camera and people out.

All is written into one temporary folder. On the loop; the scene is drawn on a thread meanwhile.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gallery.errors import GalleryError
from streamer.demo import scene
from streamer.errors import CameraNotFound, DemoFailed
from streamer.ingest.address import address
from streamer.model_layer.enrolling import enrol_person
from streamer.model_layer.setup import open_for_enrolment
from streamer.process import key_source, make_data_folder, open_gallery
from streamer.settings import CameraSettings, HttpSettings, MqttSettings, Settings
from streamer.variables import expand_url

CAMERA = "demo"
PHOTOS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})

Cameras = dict[str, CameraSettings]


@dataclass(frozen=True, slots=True)
class Album:
    """A person's name and photos."""

    name: str
    photos: tuple[Path, ...]


def source_camera(settings: Settings, source: str) -> Cameras:
    """The one camera that `--source` means: a configured one, or a URL, device or file; a file is looped.

    Raises CameraNotFound and CameraVariableUnset.
    """
    if source in settings.cameras:
        return {source: settings.cameras[source].model_copy(update={"enabled": True})}
    camera = CameraSettings(url=source or ".")
    where = address(CAMERA, camera, expand_url(camera.url))
    if where.kind != "file":
        return {CAMERA: camera}
    if not Path(where.target).is_file():
        known = ", ".join(settings.cameras) or "none"
        raise CameraNotFound(
            f"source {where.shown} is no configured camera (there are: {known}), no URL and no file; check the spelling"
        )
    return {CAMERA: camera.model_copy(update={"loop": True})}


def albums_in(folder: Path) -> list[Album]:
    """One album for each folder inside that holds photos, in the order of their names. Raises DemoFailed."""
    try:
        people = sorted(path for path in folder.iterdir() if path.is_dir())
        albums = [
            Album(person.name, tuple(sorted(p for p in person.iterdir() if p.suffix.lower() in PHOTOS)))
            for person in people
        ]
    except OSError as error:
        raise DemoFailed(f"--enrol {folder} can't be read ({error.strerror}); check the path") from None
    albums = [album for album in albums if album.photos]
    if not albums:
        raise DemoFailed(f"--enrol {folder} holds no photos; make one folder per person, with photos in it")
    return albums


async def prepare(
    settings: Settings, folder: Path, cameras: Cameras | None, enrol_folder: Path | None, note: Callable[[str], None]
) -> Settings:
    """Enrol, and render the sample scene where `cameras` is None; `folder` must exist, note() gets progress.

    Leaves the settings to run with; mqtt.port is still the caller's to set. Raises CodedErrors.
    """
    albums = albums_in(enrol_folder) if enrol_folder else []
    own = settings.apart_in(
        folder,
        mqtt=MqttSettings(topic_prefix=settings.mqtt.topic_prefix),
        http=HttpSettings(port=0),
        cameras=cameras or {},
    )
    make_data_folder(own.paths.data)
    key_source(own).for_new_store(own.paths.data)  # made here it is not told of: it goes with the folder
    if cameras is not None:
        await _enrol(own, albums, note)
        return own
    note("getting ready: enrolling Eileen Collins and rendering the sample scene")
    clip, unwanted = folder / "scene.mp4", threading.Event()
    rendering = asyncio.get_running_loop().run_in_executor(None, scene.render, clip, unwanted)
    try:
        await _enrol(own, [Album(scene.PERSON, tuple(scene.write_stills(folder))), *albums], note)
        await asyncio.shield(rendering)
    finally:
        unwanted.set()
        await asyncio.wait([rendering])
    return own.model_copy(update={"cameras": {CAMERA: CameraSettings(url=str(clip), fps=10, loop=True)}})


async def _enrol(settings: Settings, albums: list[Album], note: Callable[[str], None]) -> None:
    """Enrol everybody whose photos will do and say who could not be; raises DemoFailed where nobody could."""
    if not albums:
        return
    enrolled = 0
    async with open_for_enrolment(settings) as recogniser:
        with open_gallery(settings) as store:
            for album in albums:
                try:
                    report = await enrol_person(settings, recogniser, store, album.name, album.photos)
                except GalleryError as error:
                    note(f"{album.name} is not enrolled: {error} [{error.code}]")
                    continue
                enrolled += 1
                note(f"enrolled {album.name} from {len(report.taken)} of {len(album.photos)} photos")
    if not enrolled:
        raise DemoFailed("nobody could be enrolled; the lines above say why")
