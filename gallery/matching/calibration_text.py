"""A Calibration as the gallery keeps it: one JSON document, in which nobody is named."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from pydantic import TypeAdapter, ValidationError

from gallery.matching.calibration import Calibration

_ADAPTER: TypeAdapter[Calibration] = TypeAdapter(Calibration)


def to_text(calibration: Calibration) -> str:
    return _ADAPTER.dump_json(calibration).decode()


def from_texts(texts: Mapping[str, str | None]) -> dict[str, Calibration]:
    """By space, as PersonStore.calibrations() gives them, those that can be gone by: one whose bytes were changed
    (None), or that is of another version, is as none.
    """
    read = {space: from_text(text) for space, text in texts.items() if text is not None}
    return {space: one for space, one in read.items() if one is not None}


def from_text(text: str) -> Calibration | None:
    """None where it is none that this version knows: then there is no calibration."""
    try:
        found = _ADAPTER.validate_json(text)
    except ValidationError:
        return None
    numbers = (found.threshold, found.fpir, found.shift, found.scale, found.expected_fpir)
    if not all(map(math.isfinite, numbers)):
        return None
    if not (-1.0 <= found.threshold <= 1.0 and 0.0 < found.fpir < 1.0 and found.scale > 0):
        return None
    return found if _is_trust(found.trust) else None


def _is_trust(points: Sequence[tuple[float, float]]) -> bool:
    """Cosines that rise, and probabilities that don't fall."""
    cosines, shares = [cosine for cosine, _ in points], [share for _, share in points]
    rises = all(before < after for before, after in pairwise(cosines))
    falls = any(before > after for before, after in pairwise(shares))
    return rises and not falls and all(map(math.isfinite, cosines)) and all(0.0 <= share <= 1.0 for share in shares)
