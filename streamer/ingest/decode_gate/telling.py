"""How a stream will be watched, in plain words, and what that costs. Pure; for `cameras probe` and HTTP."""

from dataclasses import dataclass

from streamer.ingest.decode_gate.habits import Reason, Watch, Way
from streamer.ingest.decode_gate.picture_kind import PictureKind

_WAYS: dict[Way, str] = {
    "all": "every frame is decoded, also while nothing moves",
    "reference": "while nothing moves, the frames that no other is made from are left out",
    "keyframes": "while nothing moves, its keyframes alone are decoded, and what follows each is kept until something"
    " does",
}
_REASONS: dict[Reason, str] = {
    "learning": "it was not watched for long enough to know its keyframes",
    "sizes_and_keyframes": "its packets weigh more as soon as something moves, and its keyframes' pictures are looked"
    " at",
    "sizes_say_nothing": "packet sizes say nothing (constant bitrate, or a noisy picture), so it wakes with the next"
    " keyframe's picture; variable bitrate would let it wake at once",
    "sizes_unknown": "it wakes with a keyframe's picture; whether its packet sizes say when something moves shows once"
    " nothing has moved for a while",
    "keyframes_far_apart": "its keyframes are further apart than recognition.wake_within_s; set a keyframe (I-frame)"
    " every second in the camera, and no smart codec",
    "intra_refresh": "it has an intra refresh instead of keyframes; switch that off in the camera, and set a keyframe"
    " (I-frame) every second",
    "no_timestamps": "it reorders its pictures (B-frames) and has no timestamps; switch B-frames off in the camera",
}


@dataclass(slots=True)
class DecodeCost:
    """CPU time of decoding, in s, by what was decoded: keyframes, what others are made from, the others."""

    entries_s: float = 0.0
    references_s: float = 0.0
    others_s: float = 0.0

    def add(self, kind: PictureKind, cpu_s: float) -> None:
        if kind.is_entry:
            self.entries_s += cpu_s
        elif kind.is_reference:
            self.references_s += cpu_s
        else:
            self.others_s += cpu_s

    @property
    def all_s(self) -> float:
        return self.entries_s + self.references_s + self.others_s

    def quiet_s(self, way: Way) -> float:
        """What it would have been, had nothing moved."""
        if way == "keyframes":
            return self.entries_s
        return self.entries_s + self.references_s if way == "reference" else self.all_s


@dataclass(frozen=True, slots=True)
class WatchOutlook:
    """Of one stream that was watched. way is None where it is not known yet.

    keyframe_s: the longest time between keyframes that was seen. decode_ms_per_s: CPU time a second of the stream, all
    decoded; quiet_decode_ms_per_s: while nothing moves.
    """

    way: Way | None
    reason: Reason | None
    words: str
    keyframe_s: float | None = None
    decode_ms_per_s: float | None = None
    quiet_decode_ms_per_s: float | None = None


def words_of(watch: Watch) -> str:
    """How a stream is watched while nothing moves, and why so."""
    if watch.reason == "learning":
        return f"not known yet: {_REASONS[watch.reason]}"
    return f"{_WAYS[watch.way]}: {_REASONS[watch.reason]}"


def outlook(watch: Watch, keyframe_s: float | None, cost: DecodeCost, seen_s: float) -> WatchOutlook:
    """seen_s: how much of the stream was watched."""
    every_ms = round(cost.all_s / seen_s * 1e3, 1) if seen_s > 0 else None
    if watch.reason == "learning":
        words = f"{words_of(watch)} ({seen_s:.1f} s); watch it for longer (--seconds)"
        return WatchOutlook(None, watch.reason, words, keyframe_s, every_ms)
    quiet_ms = round(cost.quiet_s(watch.way) / seen_s * 1e3, 1) if seen_s > 0 else None
    return WatchOutlook(watch.way, watch.reason, words_of(watch), keyframe_s, every_ms, quiet_ms)
