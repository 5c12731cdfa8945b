"""The rows of `bench --idle`: figures go in as they are measured, and are told at once. Pure but for the telling."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

WORDS = {
    "cpu_share": "16 cameras 1080p25, VBR: CPU s a second (limit: bare decoding)",
    "cpu_ratio_to_before": "  of the build before",
    "cpu_ratio_to_decode": "  of bare decoding of all frames",
    "cbr_cpu_share": "the same with CBR: CPU s a second",
    "cbr_cpu_ratio_to_before": "  of the build before",
    "asleep_p95_ms": "face in view -> event, nobody there before: p95 ms",
    "asleep_p50_ms": "  p50 ms",
    "awake_p95_ms": "face in view -> event, somebody there already: p95 ms",
    "awake_p50_ms": "  p50 ms",
    "vbr_captured_p95_ms": "picture that decided -> event: p95 ms",
    "many64_share_of_two_cores": "64 cameras of 720p15: share of two cores",
    "scenes_cpu_share": "every kind of stream, one camera each: CPU s a second",
    "scenes_cpu_ratio_to_before": "  of the build before",
    "quiet_scenes_events": "visits told where nobody is (empty hall, negative clip)",
    "busy8_p95_ms": "8 busy cameras, 720p at 10 fps, capture -> event: p95 ms",
    "busy8_events": "  events",
    "busy8_least_share_of_mean": "  frames of the camera with fewest, of the mean",
    "busy8_cpu_share": "  CPU s a second",
    "busy8_cpu_ratio_to_before": "  of the build before",
    "rss_ours_mib": "4 cameras 1080p25: RSS MiB (limit: bare imports)",
    "rss_before_mib": "  of the build before",
    "rss_above_imports_mib": "  above the bare imports, MiB",
    "rss_ratio_to_before": "  of the build before",
    "visits_missed": "visits that the build before tells and ours does not (64 cameras: that ours does not)",
}
_ENDINGS = {
    "_visits_told_share": "visits told, share",
    "_named": "visits told by the right name alone",
    "_misnamed": "visits told by a wrong name",
    "_events_of_nobody": "visits told where nobody walks",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: of this build, of the one before, with nothing around the work, and wanted; None: there is none."""

    ours: float | None
    before: float | None = None
    limit: float | None = None
    goal: float | None = None


class Table:
    """Told as it grows."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._rows: dict[str, Row] = {}
        self._say = say

    def add(self, key: str, row: Row) -> None:
        """One more row; told at once."""
        self._rows[key] = row
        self._say(f"  {line_of(key, row)}")

    def document(self) -> dict[str, dict[str, float | None]]:
        """Each row by its key."""
        return {key: {name: _rounded(value) for name, value in asdict(row).items()} for key, row in self._rows.items()}


def words_of(key: str) -> str:
    """What a row is about."""
    for ending, told in _ENDINGS.items():
        if key.endswith(ending):
            return f"{key.removesuffix(ending)}: {told}"
    return WORDS.get(key, key)


def line_of(key: str, row: Row) -> str:
    """A row as a line for people."""
    figures = [
        f"{name} {_rounded(value):g}" for name, value in asdict(row).items() if value is not None and name != "ours"
    ]
    ours = "not measured" if row.ours is None else f"{_rounded(row.ours):g}"
    return f"{words_of(key).strip()}: {ours}" + (f" ({', '.join(figures)})" if figures else "")


def _rounded(value: float | None) -> float | None:
    """Three digits that mean something."""
    return None if value is None else float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))
