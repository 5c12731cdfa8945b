"""What became of the photos of one enrolment, as JSON. Pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gallery.enrolment.enrol import EnrolReport


def document(report: EnrolReport) -> dict[str, Any]:
    return {
        "person": {"id": report.person.id, "name": report.person.name},
        "added_to": report.added_to,
        "taken": [{"image": str(path), "quality": round(quality, 4)} for path, quality in report.taken],
        "already": [str(path) for path in report.already],
        "left_out": [{"image": str(path), "why": why} for path, why in report.left_out],
        "refused": refusals(report.refused),
        "warnings": list(report.warnings),
        "negatives_removed": report.taken_back,
    }


def nobody(refused: Sequence[tuple[Path, str, str]]) -> dict[str, Any]:
    """The same where no photo was accepted."""
    return {
        "person": None,
        "added_to": False,
        "taken": [],
        "already": [],
        "left_out": [],
        "refused": refusals(refused),
        "warnings": [],
        "negatives_removed": 0,
    }


def refusals(refused: Sequence[tuple[Path, str, str]]) -> list[dict[str, str]]:
    return [{"image": str(path), "code": code, "why": why} for path, code, why in refused]
