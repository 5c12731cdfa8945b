"""What every source shares: how a stream ends, what it says about itself, who is told of its frames. Data alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from streamer.ingest.decode_gate.gate import GateReport


class StreamEnded(Exception):
    """The stream is over and nothing is wrong: a file with loop false was played, or we left it."""


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SourceHooks:
    """Called on the camera's thread, once a frame: counters only.

    dropped: replaced before anybody took it; failed(code): not decodable; held_back: perhaps wrong, since something
    that it is made from is missing; decoded(silent_s): one more frame, sampled or not, after so long without (as
    Source.silent_s has it; of pictures that are asked for: how often they are); decoded_by(what): `software`, or
    the kind of hardware, when it is another than before; gated: about once a second, of a stream that may sleep.
    """

    dropped: Callable[[], object] = _ignore
    failed: Callable[[str], object] = _ignore
    decoded: Callable[[float], object] = _ignore
    held_back: Callable[[], object] = _ignore
    gated: Callable[[GateReport], object] = _ignore
    decoded_by: Callable[[str], object] = _ignore


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a stream says about itself when it is opened; width and height are 0 where it doesn't yet.

    tracks: its video tracks, in words; track: the one that is played. times: whose frames go by.
    """

    codec: str
    width: int
    height: int
    fps: float | None
    transport: str
    tracks: tuple[str, ...] = ()
    track: int = 0
    times: Literal["clip", "timestamps", "arrival"] = "clip"
