"""Enrolment as the configuration wants it: its gate, its thresholds, and a finder that asks again.

On the event loop.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from gallery.enrolment.enrol import EnrolReport, Gate, InFlight, Pick, Terms, Whom, enrol
from gallery.storage.store import PersonStore
from recognition.models.manager import ModelManager
from recognition.recogniser import Recogniser
from recognition.specs.spec import EmbedderSpec
from streamer.model_layer.coverage import embedders_behind
from streamer.model_layer.patient_finder import PatientFinder
from streamer.model_layer.setup import ladder_of
from streamer.pipeline.match_policy import enrolling_threshold, naming_threshold, verifying_threshold
from streamer.settings import Settings

# Enough for every runner to find a batch when it asks for one; more would only take memory.
_BATCHES_AHEAD = 2
_LEAST_IN_FLIGHT = 4


class EnrolmentDesk:
    """Where people are enrolled in a gallery, as the configuration wants it; on one event loop."""

    def __init__(self, settings: Settings, recogniser: Recogniser, store: PersonStore) -> None:
        self.finder = PatientFinder(recogniser)
        self.store = store
        self._settings = settings
        self._recogniser = recogniser

    def terms(self, pick: Pick = None, *, force: bool = False, by_hand: bool = True, whom: Whom = "anybody") -> Terms:
        """by_hand, whom: see Terms."""
        wanted = self._settings.gallery.enrol
        return Terms(
            Gate(wanted.min_face_px, wanted.min_quality),
            enrolling_threshold(self._settings, self._recogniser),
            verifying_threshold(self._settings, self._recogniser),
            pick,
            force,
            wanted.max_photos,
            by_hand,
            whom,
        )

    def in_flight(self) -> InFlight:
        return in_flight_for(self._settings, self._recogniser)


def in_flight_for(settings: Settings, recogniser: Recogniser) -> InFlight:
    """As many photos as keep the models busy; with two passes each, half of what may wait for one of them, so that
    none is refused.
    """
    wanted = _BATCHES_AHEAD * max(
        model.max_batch * model.threads for model in (recogniser.detector, recogniser.embedder)
    )
    return InFlight(max(1, min(max(wanted, _LEAST_IN_FLIGHT), settings.recognition.queue_limit // 4)))


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
    desk = EnrolmentDesk(settings, recogniser, store)
    terms, in_flight = desk.terms(pick, force=force), desk.in_flight()
    return await enrol(name, photos, desk.finder, store, terms, in_flight=in_flight, progress=progress)


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
