"""Re-indexing: the kept chips of photos, and of faces that are not somebody, -> their templates in the space of a model
that came later.

Runs on the event loop, one face at a time, so that a service goes on meanwhile; the store is touched on threads.
"""

import asyncio
from collections.abc import Callable, Iterator
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
    """A photo that gets no template, or a negative, by its number; `why` is one line."""

    photo_id: int
    person_id: str
    why: str
    is_negative: bool = False


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """`added` templates; `skipped` photos, whose person was forgotten meanwhile; the photos that are no good."""

    added: int
    skipped: int
    unusable: tuple[Unusable, ...]


async def reindex(store: PersonStore, embedder: ChipEmbedder, progress: Callable[[int, int], None]) -> ReindexReport:
    """Give every photo and negative that has no template in the embedder's space one; `progress` is told (done, total).

    Each template is kept as soon as it is made: what was stopped, or failed, goes on where it was when called
    again. Raises what the store or the embedder raises, EmbeddingSpaceMismatch where the space's templates have
    another size.
    """
    space, signature = embedder.space, embedder.signature
    total = await asyncio.to_thread(store.count_without_template, space)
    total += await asyncio.to_thread(store.count_negatives_without_template, space)

    def add_photo(photo: StoredPhoto, made: F32) -> bool:
        return store.add_template(photo.id, space, signature, made, photo.quality)

    def add_negative(negative: StoredPhoto, made: F32) -> bool:
        return store.add_negative_template(negative.id, space, signature, made)

    photos = _Kind(store.photos_without_template(space), add_photo)
    negatives = _Kind(store.negatives_without_template(space), add_negative)
    added = skipped = 0
    unusable: list[Unusable] = []
    for kind in (photos, negatives):
        while (photo := await asyncio.to_thread(next, kind.pictures, None)) is not None:
            made = await _template(photo, embedder)
            if isinstance(made, Unusable):
                unusable.append(made._replace(is_negative=kind is negatives))
            elif await asyncio.to_thread(kind.add, photo, made):
                added += 1
            else:
                skipped += 1
            done = added + skipped + len(unusable)
            progress(done, max(done, total))  # people may be enrolled meanwhile
    return ReindexReport(added, skipped, tuple(unusable))


class _Kind(NamedTuple):
    """What lacks templates, and how one is kept; False where it is gone."""

    pictures: Iterator[StoredPhoto]
    add: Callable[[StoredPhoto, F32], bool]


async def _template(photo: StoredPhoto, embedder: ChipEmbedder) -> F32 | Unusable:
    if photo.chip is None:
        return Unusable(photo.id, photo.person_id, "the kept picture is damaged; restore the gallery from a backup")
    embedding = await embedder.embed_chip(ArrayImage(photo.chip), photo.landmarks)
    if not embedding.any():
        return Unusable(photo.id, photo.person_id, "the model gave NaN, infinity or zeros for it; enrol another photo")
    return embedding
