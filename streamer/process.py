"""What this process has from its system: memory (glibc is told before threads are started), folders, locks, signals.

A frame's megabytes are taken on one thread and given back on another, and glibc, which gives each thread a heap of
its own, leaves holes in all of them: a process that opened sources again and again grew, and with two heaps did not.
It also learns, from the first large piece that is given back, to keep such pieces on those heaps: what a decoder holds
for good then lies among what is gone, and none of it goes back to the system (docs/performance.md, Memory).
"""

import ctypes
import fcntl
import logging
import os
import pwd
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from gallery.errors import GalleryInUse, GalleryMissing, GalleryUnwritable, MasterKeyMissing
from gallery.keys.master_key import GivenKey, KeySource, from_command, in_file
from gallery.storage.file_copy import is_of_before
from gallery.storage.store import PersonStore
from streamer.errors import AlreadyRunning, DataFolderUnwritable
from streamer.settings import MasterKeySettings, Settings
from streamer.variables import Unset, sudo_user, variable

log = logging.getLogger(__name__)

ARENAS = 2
# Planes of a 1080p picture, chroma too, are larger and get pages of their own, which go back when the picture does.
_OWN_PAGES_FROM = 256 * 1024
_KEPT_ON_TOP = 4 * 2**20
# mallopt's numbers, and the variables by which a user may have said otherwise.
_LIMITS = (
    (-8, ARENAS, "MALLOC_ARENA_MAX", "arena_max"),
    (-3, _OWN_PAGES_FROM, "MALLOC_MMAP_THRESHOLD_", "mmap_threshold"),
    (-1, _KEPT_ON_TOP, "MALLOC_TRIM_THRESHOLD_", "trim_threshold"),
)


def stop_signals() -> list[signal.Signals]:
    """What ends a command cleanly: Ctrl-C, SIGTERM, and SIGHUP unless whoever started it wants that ignored (nohup)."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


class Terminal:
    """The terminal that a command was started at, if any: when it is closed, it sends SIGHUP, too."""

    def __init__(self) -> None:
        self._descriptors = [number for number in (0, 1, 2) if os.isatty(number)]

    @property
    def is_gone(self) -> bool:
        """There was one."""
        return any(not os.isatty(number) for number in self._descriptors)


def limit_heaps() -> bool:
    """Share ARENAS heaps among all threads, large pieces apart from them; what the environment says of these counts.

    False where the C library is not glibc, which alone has such limits.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # OSError: a Python that is linked statically
        return False
    wanted = [
        (number, value)
        for number, value, variable_name, tunable in _LIMITS
        if variable_name not in os.environ and f"glibc.malloc.{tunable}=" not in tunables
    ]
    done = [bool(mallopt(number, value)) for number, value in wanted]
    return all(done)


def let_go() -> None:
    """Where nobody looked at a picture for a second, what pictures are looked at in goes back. Blocks for milliseconds.

    What else lies free on glibc's heaps goes with it.
    """
    from recognition.arrays import PICTURES  # commands that look at no picture do without
    from recognition.runtimes.onnx_session import ARENA

    PICTURES.let_go()
    if ARENA.let_go():
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def make_data_folder(folder: Path) -> None:
    """Make the folder for gallery and outbox, for this user alone. Raises DataFolderUnwritable."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise DataFolderUnwritable(
            f"data folder {folder} can't be used ({error.strerror}); make it writable or set paths.data"
        ) from None


@contextmanager
def only_one(folder: Path) -> Iterator[IO[str]]:
    """Hold the data folder's lock: two services on one outbox would send everything twice."""
    try:
        opened = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(opened, 0o600)  # one that is there already, too
    except OSError as error:
        raise DataFolderUnwritable(
            f"{folder / 'lock'} can't be written ({error.strerror}); give this user the files in paths.data"
        ) from None
    with open(opened, "r+") as lock:
        for last in (False, False, True):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if last:
                    raise AlreadyRunning(
                        f"another whosthere serves with data folder {folder}; stop it or set another paths.data"
                    ) from None
                time.sleep(0.02)  # service_runs() holds it for a moment
        yield lock


def service_runs(folder: Path) -> bool:
    """Whether a service runs with this data folder. Raises DataFolderUnwritable where its lock can't be read."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise DataFolderUnwritable(
            f"{folder / 'lock'} can't be read ({error.strerror}); give this user the files in paths.data"
        ) from None
    return False


def key_source(settings: Settings, coming: GivenKey | None = None) -> KeySource:
    """Where the key is that the gallery and what belongs to it are encrypted under; `coming`: the one of a rotation.

    Reads nothing yet.
    """
    configured = settings.gallery.master_key
    return KeySource(settings.paths.key_folder, None if configured is None else given_key(configured), coming)


def given_key(place: MasterKeySettings) -> GivenKey:
    if place.file is not None:
        return in_file(place.file)
    if place.command is not None:
        return from_command(place.command)
    name = place.variable or ""

    def read() -> str:
        try:
            return variable(name)
        except Unset as unset:
            raise MasterKeyMissing(f"master key: {unset}") from None

    return GivenKey(f"variable {name}", read)


_STARTS_WITHIN_S = 1.0


def open_gallery(settings: Settings, keys: KeySource | None = None) -> PersonStore:
    """The gallery, for a command; the audit log is told who ran it. keys None: the settings'. Raises GalleryError.

    GalleryMissing where it is gone under a running service, which serves from memory: a new one would take its place.
    GalleryInUse where a running service could not go on with what it would be brought up to.
    """
    path, until_s = settings.gallery_path, time.monotonic() + _STARTS_WITHIN_S
    while not path.exists() and service_runs(path.parent):
        if time.monotonic() > until_s:
            raise GalleryMissing(
                f"gallery {path} is gone, and the service serves from memory; put it back, or stop the service to "
                "begin anew"
            )
        time.sleep(0.05)  # a service that starts just now makes it
    refuse_in_use(path)
    return store_of(settings, actor=this_user(), keys=keys)


def refuse_in_use(path: Path) -> None:
    """Raises GalleryInUse where a service of the version before has the gallery open."""
    if service_runs(path.parent) and is_of_before(path):
        raise GalleryInUse(
            f"gallery {path} is of the version before, and a service of that version has it open; stop the service, "
            "and start it again with this version"
        )


def store_of(
    settings: Settings, *, actor: str = "service", in_memory: bool = False, keys: KeySource | None = None
) -> PersonStore:
    """The gallery as the settings want it; a key that is made for it is told of. Raises GalleryError."""
    keys = keys or key_source(settings)
    had_key = os.path.exists(keys.file)  # False, too, where its folder can't be entered
    store = PersonStore(
        settings.gallery_path,
        keys,
        actor=actor,
        encrypt=settings.gallery.encryption,
        keep_chips=settings.gallery.keep_chips,
        in_memory=in_memory,
    )
    if store.key_id is not None and not had_key and os.path.exists(keys.file):
        log.warning(
            "the gallery is encrypted under a key that was made for it, %s: keep a copy of that, apart from the data; "
            "nothing opens without it",
            keys.file,
        )
    return store


def readable_store_of(settings: Settings) -> PersonStore:
    """The gallery; a copy in memory where it can't be written. Raises GalleryError."""
    try:
        return store_of(settings)
    except GalleryUnwritable:
        return store_of(settings, in_memory=True)


def this_user() -> str:
    """The system's user whose command this is; under sudo who called that, too."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"user {os.getuid()}"
    caller = sudo_user()
    return name if caller is None or caller == name else f"{caller} as {name}"
