"""A calibration for people to read: a table by space, histograms of its scores and its DET curve, in plain text."""

import numpy as np
from numpy.typing import NDArray

from gallery.matching.tails import F64, GRID
from streamer.cli.options import print_line, print_table
from streamer.model_layer.calibrating import GalleryReport, SpaceReport

_WIDE = 30
_BAR = "▏▎▍▌▋▊▉█"
_ROW = 0.05  # of cosine, a line of the histogram
_RATES = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)


def show(report: GalleryReport) -> None:
    """Everything but the people."""
    print_table(
        ["space", "threshold", "strangers named", "own people missed", "people", "photos", "from"],
        [_row(one) for one in report.spaces],
        "Nobody is enrolled.",
    )
    for one in report.spaces:
        _histogram(one)
        _trade_off(one)


def _row(one: SpaceReport) -> list[str]:
    found = one.calibration
    missed = "not known" if found.expected_fnir is None else f"{found.expected_fnir:.1%}"
    moved = f", {found.shift:+.3f} for this gallery" if found.base and found.shift else ""
    source = f"measured strangers{moved}" if found.base else f"{found.pairs} pairs of its own"
    return [
        found.space,
        f"{found.threshold:.3f}",
        f"{found.expected_fpir:.2g} (asked {found.fpir:g})",
        missed,
        str(found.people),
        str(found.templates),
        source,
    ]


def _histogram(one: SpaceReport) -> None:
    """How alike different people are, as expected and in this gallery, and people themselves."""
    edges = np.arange(round(1 / _ROW), round(-0.3 / _ROW) - 1, -1) * _ROW
    columns = [_binned(one.curves.impostor.shares, edges), _binned(one.scores.impostor, edges)]
    heads = ["different people, expected", "different people, in this gallery"]
    if one.curves.genuine is not None:
        columns.append(_binned(one.curves.genuine.shares, edges))
        heads.append("one person's own photos")
    shown = [place for place in range(len(edges)) if any(column[place] > 0.002 for column in columns)]
    print_line()
    print_line(f"{one.calibration.space}: how often which cosine")
    print_line("        " + "  ".join(head.ljust(_WIDE) for head in heads).rstrip())
    for place in range(shown[0], shown[-1] + 1):
        bars = "  ".join(_bar(column[place] / column.max()).ljust(_WIDE) for column in columns)
        print_line(f"  {edges[place]:5.2f} {bars}".rstrip())
        if edges[place] >= one.calibration.threshold > edges[place] - _ROW:
            print_line(f"  ----- named from {one.calibration.threshold:.3f} on " + "-" * 60)


def _binned(shares: F64, edges: NDArray[np.floating]) -> F64:
    """The share within each row, which begins with its edge; the rows' edges fall."""
    total = max(float(shares.sum()), 1e-300)
    places = np.searchsorted(GRID, edges - 1e-9)
    above = np.concatenate((np.cumsum(shares[::-1])[::-1], [0.0]))[places] / total
    return np.diff(above, prepend=0.0)


def _bar(share: float) -> str:
    eighths = round(share * _WIDE * 8)
    return "█" * (eighths // 8) + (_BAR[eighths % 8 - 1] if eighths % 8 else "")


def _trade_off(one: SpaceReport) -> None:
    """The DET curve: what a rarer false name costs."""
    curves, found = one.curves, one.calibration
    rows = []
    for rate in sorted({*_RATES, found.fpir}, reverse=True):
        if not (curves.fpir <= rate).any():
            continue
        place = curves.place_at(rate)
        missed = None if curves.fnir is None else float(curves.fnir[place])
        rows.append(
            [
                f"{rate:g}" + (" <" if rate == found.fpir else ""),
                f"{round(float(GRID[place]), 6):.3f}",
                "" if missed is None else f"{missed:.1%}",
                "" if missed is None else _bar(missed),
            ]
        )
    print_line()
    print_line(f"{found.space}: what a rarer false name costs")
    print_table(["strangers named", "threshold", "own people missed", ""], rows, "")
