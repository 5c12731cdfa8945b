"""Re-indexing: the kept chips of photos -> their templates in the space of a model that came later.

Runs on the event loop, one face at a time, so that a service goes on meanwhile; the store is touched on threads.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gallery.people import StoredPhoto
from gallery.storage.store import PersonStore
from recognition.arrays import F32
from recognition.image import ArrayImage, Image


class ChipEmbedder(Protocol):
    """One embedding model; `signature` says what models made its templates."""

    @property
    def space(self) -> str: ...

    @property
    def signature(self) -> str: ...

    async def embed_chip(self, image: Image, landmarks: F32) -> F32:
        """A chip and its landmarks (5,2) -> (d,) float32 unit vector, zeros where it gave nothing usable."""
        ...


class Unusable(NamedTuple):
    """A photo that gets no template; `why` is one line."""

    photo_id: int
    person_id: str
    why: str


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """`added` templates; `skipped` photos, whose person was forgotten meanwhile; the photos that are no good."""

    added: int
    skipped: int
    unusable: tuple[Unusable, ...]


async def reindex(store: PersonStore, embedder: ChipEmbedder, progress: Callable[[int, int], None]) -> ReindexReport:
    """Give every photo that has no template in the embedder's space one; `progress` is told (done, total).

    Each template is kept as soon as it is made: what was stopped, or failed, goes on where it was when called
    again. Raises what the store or the embedder raises, EmbeddingSpaceMismatch where the space's templates have
    another size.
    """
    total = await asyncio.to_thread(store.count_without_template, embedder.space)
    photos = store.photos_without_template(embedder.space)
    added = skipped = 0
    unusable: list[Unusable] = []
    while (photo := await asyncio.to_thread(next, photos, None)) is not None:
        made = await _template(photo, embedder)
        if isinstance(made, Unusable):
            unusable.append(made)
        elif await asyncio.to_thread(
            store.add_template, photo.id, embedder.space, embedder.signature, made, photo.quality
        ):
            added += 1
        else:
            skipped += 1
        done = added + skipped + len(unusable)
        progress(done, max(done, total))  # people may be enrolled meanwhile
    return ReindexReport(added, skipped, tuple(unusable))


async def _template(photo: StoredPhoto, embedder: ChipEmbedder) -> F32 | Unusable:
    if photo.chip is None:
        return Unusable(photo.id, photo.person_id, "the kept picture is damaged; restore the gallery from a backup")
    embedding = await embedder.embed_chip(ArrayImage(photo.chip), photo.landmarks)
    if not embedding.any():
        return Unusable(photo.id, photo.person_id, "the model gave NaN, infinity or zeros for it; enrol another photo")
    return embedding
