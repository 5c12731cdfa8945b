"""Why a camera that is online may name nobody: what its pictures lack, in words, and whether its faces are too small.

Pure apart from its own state; on the loop.
"""

from collections.abc import Sequence
from typing import Literal

from streamer.ingest.picture_trouble import PictureReason
from streamer.pipeline.tracking import Sighting, Track

Trouble = PictureReason | Literal["faces_too_small"]

WORDS: dict[Trouble, str] = {
    "pictures_damaged": "most of its pictures are damaged; check its network (transport: tcp), cable and encoder",
    "black": "its picture is black; check its lens, the light and its infrared lamp",
    "frozen": "its picture has not changed for a minute; restart the camera",
    "faces_too_small": "the faces it shows are smaller than recognition.min_face_px; bring it nearer, zoom in, "
    "or use its larger stream",
}
# So many people one after another; a flicker of the detector is nobody.
PEOPLE, LEAST_SIGHTINGS = 5, 3


class FaceSizes:
    """The faces of one camera beside the smallest that is embedded."""

    def __init__(self, min_face_px: float) -> None:
        self._min_face_px = min_face_px
        self._small = 0  # people in a row who never were large enough

    @property
    def too_small(self) -> bool:
        return self._small >= PEOPLE

    def look(self, sightings: Sequence[Sighting], gone: Sequence[Track]) -> None:
        """The faces of one frame, and the tracks that ended with it."""
        if any(sighting.track.largest_px >= self._min_face_px for sighting in sightings):
            self._small = 0
        for track in gone:
            if track.largest_px < self._min_face_px and track.sightings >= LEAST_SIGHTINGS:
                self._small += 1
