"""What decodes a camera's stream: hwaccel as configured in, libav's accelerator or nothing out, and why nothing.

On the camera's thread; the first look for a device of a kind blocks for up to a second. Pictures come to system memory
(nv12, p010) whoever decodes them. Nothing here ends a camera: what can't be had is told, and decoded in software.
"""

import logging
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from streamer.settings import HwAccel

log = logging.getLogger(__name__)

SOFTWARE = "software"
# What `auto` tries, in this order, and the device files of which there is at least one where it may work.
_DEVICES = {"cuda": ("nvidiactl", "nvhost-gpu", "dxg"), "vaapi": ("dri/renderD*",)}
# Formats into which libav downloads pictures; software decoders of cameras' codecs write none of them.
_DOWNLOADED = ("nv12", "nv16", "nv24", "p010", "p012", "p016", "p210", "p216", "p410", "p416")
# A device that failed on a stream is not tried on that camera's again for so long.
DISTRUST_S = 600.0

_failed_at_s: dict[str, float] = {}
_told: dict[str, str] = {}


class Acceleration:
    """Of one opening of one camera. `kind`: what may decode; `why`: what speaks against what was asked for, or "".

    `used`: what decoded the last picture; None before the first. told(used) hears of it whenever it is another.
    """

    def __init__(
        self,
        camera: str,
        asked: HwAccel,
        told: Callable[[str], object],
        *,
        devices: Path = Path("/dev"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._camera = camera
        self._asked = asked
        self._tell = told
        self._clock = clock
        self.used: str | None = None
        self.why = ""
        self.kind = None if asked == "none" else self._chosen(devices)

    def _chosen(self, devices: Path) -> str | None:
        """What may be tried. `auto` passes over what is not there without a word."""
        failed_s = _failed_at_s.get(self._camera)
        if failed_s is not None and self._clock() - failed_s < DISTRUST_S:
            self.why = "it failed on this stream a while ago"
            return None
        if self._asked == "auto":
            there = [kind for kind, files in _DEVICES.items() if any(any(devices.glob(file)) for file in files)]
            kinds = [kind for kind in there if kind in hwdevices_available()]
        else:
            kinds = [self._asked]
        for kind in kinds:
            self.why = _against(kind)
            if not self.why:
                return kind
        return None

    def accelerator(self) -> HWAccel | None:
        """A new one, for one opening; None: software."""
        return None if self.kind is None else HWAccel(self.kind, allow_software_fallback=True)

    def dropped(self, why: str) -> None:
        """It could not be had after all."""
        self.kind, self.why = None, self.why or why

    def opened(self, context: "av.VideoCodecContext") -> None:
        """The stream's codec is known."""
        if self.kind is not None and not context.is_hwaccel:
            self.dropped(f"this FFmpeg has no {self.kind} decoder for {context.name}")

    def pictured(self, picture: av.VideoFrame) -> None:
        """One came out of the codec: by its format it is known what decoded it."""
        is_downloaded = picture.format.name.startswith(_DOWNLOADED)
        used = self.kind if self.kind is not None and is_downloaded else SOFTWARE
        if used == self.used:
            return
        self.used = used
        if self.kind is not None and used == SOFTWARE:
            self.why = f"{self.kind} can't decode this stream's profile ({picture.format.name})"
        self._tell(used)
        self._log()

    def failed(self) -> None:
        """What it decoded could not be made sense of: the next opening is decoded in software, which may do better."""
        if self.used not in (None, SOFTWARE) or (self.kind is not None and self.used is None):
            _failed_at_s[self._camera] = self._clock()

    @property
    def note(self) -> str:
        """For people: what decodes, where anything but software was asked for; "" else."""
        if self.used in (None, SOFTWARE):
            return f"decoded in software, not by {self._asked} as hwaccel says: {self.why}" if self.why else ""
        return f"decoded by {self.used}"

    def _log(self) -> None:
        """Once for each change."""
        note = self.note
        if note and _told.get(self._camera) != note:
            level = logging.WARNING if self.why and self._asked != "auto" else logging.INFO
            log.log(level, "camera %s: %s", self._camera, note, extra={"camera": self._camera, "code": "hwaccel"})
        _told[self._camera] = note


@cache
def _against(kind: str) -> str:
    """What speaks against this kind of device on this machine; "" where one can be opened."""
    built_in = hwdevices_available()
    if kind not in built_in:
        return f"the FFmpeg within PyAV was built without it (it has {', '.join(built_in) or 'none'})"
    try:
        av.CodecContext.create("h264", "r", hwaccel=HWAccel(kind, allow_software_fallback=True))
    except (av.FFmpegError, RuntimeError, NotImplementedError) as error:
        said = getattr(error, "strerror", None) or type(error).__name__
        return f"no device of it can be opened ({said.lower()}); check its driver, and that this user may use it"
    return ""
