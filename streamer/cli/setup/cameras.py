"""The cameras of `setup`: found on the network or given as URLs, each tried. Blocks for who answers."""

import re
from collections.abc import Sequence
from pathlib import Path
from secrets import token_urlsafe

from streamer.cli.setup.asking import ask, ask_secret, confirm, heading, say, tried, wrong
from streamer.cli.setup.draft import Draft
from streamer.discovery.device import DeviceLogin
from streamer.discovery.devices import devices_of
from streamer.discovery.proposal import camera_name
from streamer.discovery.ws_discovery import Announcement, search
from streamer.errors import CameraError, CameraExists, CameraLoginRefused, ConfigInvalid, DiscoveryFailed
from streamer.ingest.address import redacted_url
from streamer.settings import PUBLISH
from streamer.settings_layers import Tree
from streamer.setup.document import hidden, with_login
from streamer.setup.trying import checked, try_camera

_GIVEN = re.compile(r"([a-z0-9_-]{1,64})=(\S.*)")
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_HOST = re.compile(r"[A-Za-z][\w+.-]*://(?:[^@/]*@)?(\[[^\]]+\]|[^:/?]+)")
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{2,}")
_OF_STREAMS = frozenset(
    {"channels", "live", "main", "media", "mjpeg", "mjpg", "stream", "sub", "video", "cam", "index"}
)
_SEARCH_S = 3.0
_FPS = 10
_LOGINS = 3


def take_given(draft: Draft, given: Sequence[str]) -> None:
    """Of --camera NAME=URL. Raises ConfigInvalid, CameraExists and, where it does not answer, the CameraError."""
    for one in given:
        match = _GIVEN.fullmatch(one.strip())
        if match is None:
            raise ConfigInvalid(
                f"--camera {redacted_url(one)[:60]}: want NAME=URL, with a name of a-z, 0-9, _ and -, like "
                "door='rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264'"
            )
        name, camera = match[1], _camera(draft, match[2])
        known = draft.cameras.get(name)
        if known is not None and not _same(name, known, camera):
            raise CameraExists(f"there is a camera {name} in {draft.file}; take another name, or edit the file")
        try:
            _try(draft, name, camera)
        except CameraError as error:
            if not draft.unchecked:
                raise
            wrong(error)
        draft.cameras[name] = camera if known is None else {**known, "url": camera["url"]}


def discover(draft: Draft) -> None:
    """Without asking: what can be told of it; whose login is not known is not added."""
    for found in _searched():
        say(f"  found: {found.address} {found.name or found.hardware}; its streams need a login: cameras discover")


def dialogue(draft: Draft, look: bool | None) -> None:
    """Ask for all of them. look: for those of the network; None: ask that, too."""
    heading(1, "Cameras")
    for name in draft.cameras:
        say(f"  there is {name}: {draft.shown(name)}")
    if look is None:
        look = confirm("Look for cameras on this network?", default=not draft.cameras)
    if look:
        _found(draft)
    while True:
        question = "Camera's URL, clip or device (Enter: no more)"
        url = ask(
            question if draft.cameras else "Camera's URL, clip or device, like rtsp://192.0.2.9/h264 (Enter: none)"
        )
        if not url:
            return
        _asked(draft, url)


def _found(draft: Draft) -> None:
    answered = _searched()
    for one in answered:
        say(f"  {one.address:15} {one.name or one.hardware or '(no name)'}")
    if not answered:
        say("  nobody answers by ONVIF (many cameras have it off, and it passes no router): give URLs")
        return
    user = ask("Their user (Enter: leave them)")
    if not user:
        return
    login = DeviceLogin(user, ask_secret("Their password"))
    devices = tried("  asking them for their streams", lambda: devices_of(answered, login, list(draft.cameras)))
    for device in devices:
        if not device.streams:
            say(f"  {device.announcement.address}: {device.reason or 'has no stream'}")
            continue
        best = device.streams[0]
        size = f" {best.width}x{best.height}" if best.width else ""
        if confirm(f"Add {device.announcement.address} ({best.codec}{size})?", default=True):
            _asked(draft, with_login(best.url, login.user, login.password), device.camera)


def _searched() -> list[Announcement]:
    try:
        return tried(f"  looking for cameras, {_SEARCH_S:g} s", lambda: search(_SEARCH_S, None))
    except DiscoveryFailed as error:
        wrong(error)
        return []


def _asked(draft: Draft, url: str, proposed: str = "") -> None:
    """One camera: its name, and a login where it wants one."""
    called = proposed or camera_name(_word_in(url), _host_of(url), draft.cameras)
    name = _name(draft, called)
    for _ in range(_LOGINS):
        camera = _camera(draft, url) | (_publishers_password() if url == PUBLISH else {})
        try:
            _try(draft, name, camera)
        except CameraLoginRefused as error:
            wrong(error)
            user = ask("  User (Enter: leave this camera)")
            if not user:
                return
            url = with_login(url, user, ask_secret("  Password"))
            continue
        except ConfigInvalid as error:
            wrong(error)
            return
        except CameraError as error:
            wrong(error)
            if not confirm("  Keep it all the same?", default=False):
                return
        draft.cameras[name] = camera
        return
    say("  left: most cameras lock out who tries more often; look up its login, and run this again")


def _publishers_password() -> Tree:
    password = ask_secret("  Password for whoever publishes to it (Enter: one is made)")
    return {"password": password or token_urlsafe(12)}


def _host_of(url: str) -> str:
    match = _HOST.match(url)
    return match[1] if match else ""


def _word_in(url: str) -> str:
    """What a URL or a file calls the camera, as far as that is a name; "" where it is none."""
    last = url.partition("?")[0].rstrip("/").rpartition("/")[2].partition(".")[0]
    return last if _WORD.fullmatch(last) and last.lower() not in _OF_STREAMS else ""


def _name(draft: Draft, proposed: str) -> str:
    while True:
        name = ask("  What to call it", proposed)
        if not _NAME.fullmatch(name):
            say("  a name has a-z, 0-9, _ and - alone: it is a level of a topic")
        elif name in draft.cameras:
            say(f"  there is a {name} already")
        else:
            return name


def _try(draft: Draft, name: str, camera: Tree) -> None:
    shown = redacted_url(str(camera["url"]))
    checked({"cameras": {name: camera}}, draft.file)
    if camera["url"] == PUBLISH:
        return
    try:
        report = tried(f"  trying {name}: {shown}", lambda: try_camera(name, camera))
    except CameraError as error:
        draft.seen[name] = {"name": name, "url": shown, "ok": False, "code": error.code, "detail": str(error)}
        raise
    told = f"{report.codec} {report.width}x{report.height}"
    draft.seen[name] = {"name": name, "url": shown, "ok": True, "code": None, "detail": told}
    say(f"  {name} answers: {told}" + "".join(f"; {note}" for note in report.notes))


def _camera(draft: Draft, url: str) -> Tree:
    if "://" in url or url.startswith(("usb:", "v4l2:", "/dev/", "${")):
        return {"url": url, "fps": _FPS}
    clip = Path(url).expanduser()
    # Typed as of here, read as of where the configuration lies.
    return {"url": str(clip if draft.file.parent == Path.cwd() else clip.absolute()), "fps": _FPS, "loop": True}


def _same(name: str, known: object, camera: Tree) -> bool:
    """Whether it is there already, its password aside."""
    typed = hidden({"cameras": {name: camera}}).tree["cameras"][name]
    return isinstance(known, dict) and known.get("url") in (camera["url"], typed["url"])
