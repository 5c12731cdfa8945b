"""Real publishers as processes: ffmpeg and GStreamer. Started on entry, killed by their pid on exit."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

Program = Literal["ffmpeg", "gst"]
Transport = Literal["tcp", "udp"]


class Publishing:
    """One program that publishes a clip to a URL."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def code(self, within_s: float = 20.0) -> int:
        """Its exit code; blocks until it has ended."""
        return self._process.wait(within_s)

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")


def by_ffmpeg(
    clip: Path, url: str, log: Path, *options: str, transport: Transport = "tcp", loop: bool = True
) -> Publishing:
    """The clip as it is, at its own pace. options: before -f, like `-map 0:a`."""
    looped = ["-stream_loop", "-1"] if loop else []
    source = ["ffmpeg", "-v", "warning", "-re", *looped, "-i", clip, "-c", "copy", *options]
    return Publishing([*source, "-f", "rtsp", "-rtsp_transport", transport, url], log)


def by_gst(url: str, log: Path, *, transport: Transport = "tcp", codec: Literal["h264", "h265"] = "h264") -> Publishing:
    """A picture of its own making, 320x192, ten a second, a keyframe each second, and a tone."""
    encoder = {"h264": "x264enc tune=zerolatency key-int-max=10", "h265": "x265enc tune=zerolatency key-int-max=10"}[
        codec
    ]
    video = f"videotestsrc is-live=true ! video/x-raw,width=320,height=192,framerate=10/1 ! {encoder} ! {codec}parse"
    audio = "audiotestsrc is-live=true ! audioconvert ! alawenc"
    pipeline = f"{video} ! queue ! s. {audio} ! queue ! s. rtspclientsink name=s protocols={transport}"
    return Publishing(["gst-launch-1.0", *pipeline.split(), f"location={url}"], log)
