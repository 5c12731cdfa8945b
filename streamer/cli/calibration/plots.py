"""A calibration as PNGs: histograms of scores, and the DET curve. Needs Matplotlib; draws without a display."""

from pathlib import Path

import numpy as np

from gallery.matching.tails import GRID
from recognition.evaluation.plots import need_matplotlib
from streamer.model_layer.calibrating import SpaceReport

_DOT_SIZE = 120


def draw(one: SpaceReport, folder: Path) -> list[Path]:
    """Write <space>-scores.png and <space>-det.png into the folder; their paths. Raises PlotsUnavailable, OSError."""
    need_matplotlib()
    drawn = [_scores(one, folder / f"{one.calibration.space}-scores.png")]
    if one.curves.fnir is not None:
        drawn.append(_det(one, folder / f"{one.calibration.space}-det.png"))
    return drawn


def _scores(one: SpaceReport, path: Path) -> Path:
    from matplotlib.figure import Figure

    found = one.calibration
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot(
        title=f"{found.space}: {found.people} people, {found.templates} photos",
        xlabel="cosine",
        ylabel="share of scores in 0.02 of cosine",
        yscale="log",
        ylim=(1e-6, 1.0),
        xlim=(-0.4, 1.0),
    )
    edges = np.linspace(-1.0, 1.0, 101)
    own = np.add.reduceat(one.scores.impostor, np.arange(0, len(GRID) - 1, 40))
    axes.stairs(own / own.sum(), edges, fill=True, alpha=0.3, color="tab:red", label="different people here")
    expected = np.add.reduceat(one.curves.impostor.shares, np.arange(0, len(GRID) - 1, 40))
    axes.stairs(expected, edges, color="tab:red", label="different people, expected")
    if one.curves.genuine is not None:
        genuine = np.add.reduceat(one.curves.genuine.shares, np.arange(0, len(GRID) - 1, 40))
        axes.stairs(genuine, edges, color="tab:green", label="a person's own")
    axes.axvline(found.threshold, color="black", linestyle="--", label=f"named from {found.threshold:.3f} on")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=_DOT_SIZE)
    return path


def _det(one: SpaceReport, path: Path) -> Path:
    from matplotlib.figure import Figure

    found, fnir, missed = one.calibration, one.curves.fnir, one.calibration.expected_fnir
    assert fnir is not None
    assert missed is not None
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.add_subplot(
        title=f"{found.space}: DET, {found.people} people",
        xlabel="strangers who are named (FPIR)",
        ylabel="own people who are missed (FNIR)",
        xscale="log",
        yscale="log",
        xlim=(1e-5, 1.0),
    )
    shown = (one.curves.fpir > 1e-5) & (fnir > 0)
    axes.plot(one.curves.fpir[shown], fnir[shown])
    axes.plot([found.expected_fpir], [missed], "o", color="black", label=f"from {found.threshold:.3f} on")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=_DOT_SIZE)
    return path
