"""A calibration of the gallery as JSON, and the whole of one for HTTP. Blocks for seconds."""

from collections.abc import Mapping
from typing import Any

from gallery.matching.calibration import Curves
from gallery.matching.tails import GRID, place_of
from gallery.people import Profile
from gallery.storage.store import PersonStore
from recognition.models.manager import ModelManager
from streamer.model_layer.calibrating import GalleryReport, SpaceReport, calibrate_gallery, keep
from streamer.people.look_alikes import alike_rows
from streamer.settings import Settings

_SHOWN = [place_of(percent / 100) for percent in range(0, 101, 2)]  # cosines below 0 name nobody


def calibrated(
    settings: Settings, manager: ModelManager, store: PersonStore, fpir: float, *, dry_run: bool
) -> dict[str, Any]:
    """Computed, kept unless it is a dry run, and told. Raises what calibrate_gallery() raises, GalleryError."""
    report = calibrate_gallery(settings, manager, store, fpir, lambda _: lambda _done, _of: None)
    profiles = store.profiles()
    if not dry_run:
        keep(store, report)
    return calibration_document(report, fpir, profiles, written=not dry_run)


def calibration_document(
    report: GalleryReport, fpir: float, profiles: Mapping[str, Profile], *, written: bool
) -> dict[str, Any]:
    """As `calibrate --json` and HTTP tell it."""
    return {
        "fpir": fpir,
        "people": len(profiles),
        "written": written,
        "spaces": {one.policy.space: _space(one) for one in report.spaces},
        "not_calibrated": {
            space: {"code": error.code, "why": str(error)} for space, error in sorted(report.failed.items())
        },
        "look_alikes": [
            row for one in report.spaces for row in alike_rows(one.scores.look_alikes, profiles, one.policy)
        ],
    }


def _space(one: SpaceReport) -> dict[str, Any]:
    found = one.calibration
    return {
        "threshold": found.threshold,
        "expected_fpir": found.expected_fpir,
        "expected_fnir": found.expected_fnir,
        "used_threshold": one.policy.threshold,
        "embedder": one.embedder,
        "people": found.people,
        "templates": found.templates,
        "pairs": found.pairs,
        "measured": found.base is not None,
        "shift": found.shift,
        "aggregation": found.conditions.aggregation,
        "margin": found.conditions.margin,
        "curve": [_rates(one.curves, place) for place in _SHOWN],
    }


def _rates(curves: Curves, place: int) -> dict[str, float | None]:
    missed = curves.fnir
    return {
        "threshold": round(float(GRID[place]), 2),
        "fpir": float(f"{curves.fpir[place]:.3g}"),
        "fnir": None if missed is None else float(f"{missed[place]:.3g}"),
    }
