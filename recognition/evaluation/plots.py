"""A ROC or DET curve -> a PNG. Needs Matplotlib (extra `train`); draws without a display, blocks for a second."""

from pathlib import Path

from recognition.errors import PlotsUnavailable
from recognition.evaluation.error_rates import Curve


def need_matplotlib() -> None:
    """Raises PlotsUnavailable where Matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401  # asked for, not used here
    except ImportError:
        raise PlotsUnavailable(
            "the curves can't be drawn without Matplotlib; do: pip install 'whosthere[train]'"
        ) from None


def draw_curves(curve: Curve, title: str, folder: Path) -> list[Path]:
    """Write roc.png and det.png into the folder, which must exist; their paths. Raises PlotsUnavailable, OSError."""
    need_matplotlib()
    from matplotlib.figure import Figure

    shown = curve.fmr > 0
    least = float(curve.fmr[shown].min())
    drawn = []
    for name, label, share in (("roc", "true-match rate", curve.tmr), ("det", "false-non-match rate", 1 - curve.tmr)):
        figure = Figure(figsize=(6, 4.5), layout="constrained")
        axes = figure.add_subplot(
            title=f"{title}: {name.upper()}", xlabel="false-match rate", ylabel=label, xscale="log", xlim=(least, 1)
        )
        if name == "det":
            # A rate of 0 has no place on a logarithmic axis.
            axes.set_yscale("log", nonpositive="mask")
        axes.plot(curve.fmr[shown], share[shown])
        axes.grid(visible=True, which="both", alpha=0.3)
        drawn.append(folder / f"{name}.png")
        figure.savefig(drawn[-1], dpi=120)
    return drawn
