"""A photo -> the face in it that is not a person, though it looks like it; by the rules of enrolment.

Runs on the event loop; files and pixels are touched on threads.
"""

from pathlib import Path

from gallery.enrolment.photo_reading import Read, of_file
from gallery.enrolment.quality_gate import Gate, Pick
from gallery.enrolment.shots import FaceFinder, choose, take
from gallery.people import NewNegative
from gallery.storage.rows import jpeg
from recognition.arrays import F32


async def face_in(
    path: Path, finder: FaceFinder, gate: Gate, pick: Pick, own: F32, threshold: float, read: Read = of_file
) -> NewNegative:
    """What is kept of it. Of several faces the one is meant that is by far the largest, or that is like the person's
    templates own (m,d), from a cosine of `threshold` on.

    Raises ImageError, PhotoRefused and EmbeddingUnusable.
    """
    album = await take([path], finder, gate, pick, frozenset(), lambda done, total: None, read=read)
    shots = choose(album, own, finder.space, threshold)
    for error in album.refused.values():
        raise error
    photo = shots[path].photo
    chip = None if photo.chip is None else jpeg(photo.chip)
    return NewNegative(chip, photo.landmarks, photo.quality, f"photo {photo.digest}", photo.templates)
