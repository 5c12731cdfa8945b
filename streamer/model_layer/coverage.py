"""Who has templates for which embedder: what a switch by choice may go to, and what re-indexing has yet to make.

Names and counts in, what speaks against an embedder out. Pure, but for coverage_in(), which blocks for the gallery.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gallery.storage.store import PersonStore
from recognition.errors import ModelNotFound
from recognition.models.manager import ModelManager
from recognition.reason import Reason
from recognition.specs.spec import EmbedderSpec
from streamer.errors import PeopleNotCovered


def embedders_behind(manager: ModelManager, name: str) -> tuple[EmbedderSpec, ...]:
    """Whose templates it is matched by: its own, or where two have to agree, each one's. Raises ModelNotFound."""
    return tuple(manager.spec_of(each, EmbedderSpec) for each in manager.spec_of(name, EmbedderSpec).matched_by)


def spaces_behind(manager: ModelManager, name: str) -> tuple[str, ...]:
    """Where its templates lie; nowhere, where one of those that have to agree is not there: it can't serve then."""
    try:
        return tuple(spec.space for spec in embedders_behind(manager, name))
    except ModelNotFound:
        return ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """`people`: how many are enrolled. `lacking`: by embedder, how many of them have photos but no template."""

    people: int
    lacking: Mapping[str, int]

    def against(self, name: str, others: Collection[str]) -> Reason | None:
        """Why not this embedder: it could not name people whom one of the others can; None where there is no such."""
        lacking = self.lacking.get(name, 0)
        fewest = min((self.lacking.get(other, 0) for other in others), default=lacking)
        if lacking <= fewest:
            return None
        why = (
            f"{lacking} of {self.people} people have no template in its space; "
            f"whosthere gallery reindex {name} makes them of the kept photos"
        )
        return Reason(PeopleNotCovered.code, why)


NOBODY = Coverage(0, {})


def coverage_in(store: PersonStore, manager: ModelManager, names: Iterable[str]) -> Coverage:
    """How these embedders are covered now. Raises GalleryError."""
    spaces = {name: spaces_behind(manager, name) for name in names}
    lacking = {name: max(map(store.uncovered, those), default=0) for name, those in spaces.items()}
    return Coverage(store.count(), lacking)
