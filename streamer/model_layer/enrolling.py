"""Enrolment as the configuration wants it: its gate, its thresholds, and a finder that asks again.

On the event loop.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from gallery.enrolment.enrol import EnrolReport, Gate, Pick, enrol
from gallery.storage.store import PersonStore
from recognition.models.manager import ModelManager
from recognition.recogniser import Recogniser
from recognition.specs.spec import EmbedderSpec
from streamer.model_layer.coverage import embedders_behind
from streamer.model_layer.patient_finder import PatientFinder
from streamer.model_layer.setup import ladder_of
from streamer.pipeline.match_policy import enrolling_threshold, naming_threshold, verifying_threshold
from streamer.settings import Settings


async def enrol_person(
    settings: Settings,
    recogniser: Recogniser,
    store: PersonStore,
    name: str,
    photos: Sequence[Path],
    pick: Pick = None,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EnrolReport:
    """As gallery.enrolment.enrol.enrol() does it, and raises."""
    return await enrol(
        name,
        photos,
        PatientFinder(recogniser),
        store,
        Gate(settings.gallery.enrol.min_face_px, settings.gallery.enrol.min_quality),
        pick,
        threshold=enrolling_threshold(settings, recogniser),
        verifies=verifying_threshold(settings, recogniser),
        force=force,
        progress=progress,
    )


def space_sizes(manager: ModelManager) -> dict[str, int]:
    """By space, how many numbers a template has, of all embedders that are known."""
    return {spec.space: spec.embedding_size for spec in manager.specs.values() if isinstance(spec, EmbedderSpec)}


def verifying_thresholds(manager: ModelManager) -> dict[str, float]:
    """By space, the cosine from which on two faces are one person's where that is supposed already, the spec's for 1:1,
    of all embedders that are known.
    """
    specs = [spec for spec in manager.specs.values() if isinstance(spec, EmbedderSpec)]
    return {spec.space: spec.thresholds.cosine_at(spec.thresholds.verification) for spec in specs}


def naming_thresholds(settings: Settings, manager: ModelManager) -> dict[str, float]:
    """By space, the cosine from which on two faces are one person's, of all embedders that may serve.

    Raises ModelNotFound.
    """
    thresholds: dict[str, float] = {}
    for name in ladder_of(settings, manager):
        spec = manager.spec_of(name, EmbedderSpec)
        for member in embedders_behind(manager, name):
            thresholds.setdefault(member.space, naming_threshold(settings, spec, member))
    return thresholds
