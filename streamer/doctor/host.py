"""The machine and what is installed on it: the clock, packages and their bounds, a GPU that is left alone, open files.

Looks alone; blocks for small reads and one short command.
"""

import resource
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from recognition.specs.devices import count_gpus
from streamer.doctor.cures import Cures
from streamer.doctor.trouble import Trouble
from streamer.settings import Settings
from streamer.steady import UNSET_BEFORE

PACKAGE = "whosthere"
EXTRAS = ("cpu", "gpu", "webrtc", "triton", "classifier", "train")
# Two of these bring the same module, and the one that came last is the one that is used; the first is to stay.
RIVALS = (
    ("onnxruntime-gpu", "onnxruntime"),
    ("faiss-gpu-cu12", "faiss-cpu"),
    ("opencv-python-headless", "opencv-python"),
)
# Of a service: what is open without any camera, and at most for each; HTTP holds 256 connections that wait besides.
FILES_BESIDES, FILES_A_CAMERA = 400, 4
ASK_WITHIN_S = 5.0


def look(settings: Settings, cures: Cures) -> Iterator[Trouble]:
    """Everything about the machine."""
    yield from clock(cures)
    yield from packages(cures, _requirements())
    yield from rivals(cures, {name for pair in RIVALS for name in pair if version_of(name)})
    yield from _gpu(settings, cures)
    yield from open_files(settings, cures, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def clock(cures: Cures, now: float | None = None) -> Iterator[Trouble]:
    """`now`: Unix time in s; None: the machine's."""
    now = time.time() if now is None else now
    if now < UNSET_BEFORE:
        today = time.strftime("%Y-%m-%d", time.gmtime(now))
        detail = f"the clock says {today}: it was never set, and events carry its times"
        yield Trouble("fault", "clock", "clock_unset", detail, cures.of("clock_unset"))
    elif _is_unsynchronised():
        detail = "nothing keeps the clock right (timedatectl: NTPSynchronized=no); events carry its times"
        yield Trouble("warning", "clock", "clock_unsynchronised", detail, cures.of("clock_unsynchronised"))


def _is_unsynchronised() -> bool:
    """False, too, where systemd does not run: nobody can be asked."""
    program = shutil.which("timedatectl")
    if program is None or not Path("/run/systemd/system").is_dir():
        return False
    try:
        asked = [program, "show", "--property=NTPSynchronized", "--value"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=ASK_WITHIN_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return told.strip() == "no"


def _requirements() -> list[str]:
    try:
        return metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # run from a checkout that nobody has installed
        return []


def version_of(package: str) -> str | None:
    """Which version is installed; None: none is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def packages(cures: Cures, requirements: Iterable[str]) -> Iterator[Trouble]:
    """Those that are needed and not there, and those that whosthere was not tested with."""
    for text in requirements:
        wanted = Requirement(text)
        is_core = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if not is_core and not any(wanted.marker and wanted.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            continue
        found = version_of(wanted.name)
        requirement = f"{wanted.name}{wanted.specifier}"
        if found is None and is_core:
            detail = f"{wanted.name} is not installed, and nothing works without it"
            yield Trouble("fault", "packages", "package_missing", detail, cures.of("package_missing"))
        elif found is not None and not wanted.specifier.contains(found, prereleases=True):
            detail = f"{wanted.name} {found} is installed; whosthere was tested with {wanted.specifier}"
            mend = cures.of("package_untested", requirement=requirement)
            yield Trouble("warning", "packages", "package_untested", detail, mend)


def rivals(cures: Cures, installed: set[str]) -> Iterator[Trouble]:
    """Packages that write into each other's folders."""
    for kept, other in RIVALS:
        if {kept, other} <= installed:
            detail = f"{kept} and {other} are both installed, and bring the same module: which one is used is chance"
            mend = cures.of("packages_conflict", kept=kept, conflict=other)
            yield Trouble("warning", "packages", "packages_conflict", detail, mend)


def _gpu(settings: Settings, cures: Cures) -> Iterator[Trouble]:
    if settings.recognition.device == "cpu" or not count_gpus():
        return
    try:
        import onnxruntime
    except ImportError:
        return  # the models say so
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        detail = "there is a GPU, and this ONNX Runtime was built without CUDA: models run on the CPU"
        yield Trouble("warning", "models", "gpu_unused", detail, cures.of("gpu_unused"))


def open_files(settings: Settings, cures: Cures, limit: int) -> Iterator[Trouble]:
    """`limit`: how many files a process that is started here may have open."""
    cameras = sum(camera.enabled for camera in settings.cameras.values())
    wanted = FILES_BESIDES + FILES_A_CAMERA * cameras
    if limit != resource.RLIM_INFINITY and limit < wanted:
        detail = (
            f"a process may have {limit} files open here, and {cameras} cameras may want {wanted} (a service of "
            "systemd has a limit of its own, LimitNOFILE)"
        )
        yield Trouble("warning", "open files", "open_files_low", detail, cures.of("open_files_low"))
