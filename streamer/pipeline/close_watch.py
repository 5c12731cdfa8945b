"""When a camera's picture gets its second pass, for faces that fill it: found what the first pass found, yes or no out.

One for each camera, on the loop. Where no such face fits into the picture (16:9) there is never one; it costs a
quarter of a pass, and an empty picture must not cost that in every frame.
"""

from dataclasses import dataclass

from recognition.recogniser import Found

EVERY_S = 1.0  # while nothing is seen


@dataclass(slots=True, eq=False)
class CloseWatch:
    """looked_s: when the last second pass was (the frames' clock); filled: it found somebody."""

    looked_s: float = -1e9
    filled: bool = False

    def due(self, found: Found, at_s: float) -> bool:
        """Something huge is seen, or nothing: then at once where somebody filled the picture, else now and then."""
        if found.close_up == "some":
            return self.filled or at_s - self.looked_s >= EVERY_S
        return found.close_up == "clear"

    def looked(self, found: Found, sure_score: float, at_s: float) -> None:
        """What both passes found together."""
        self.looked_s = at_s
        self.filled = bool((found.detections.scores >= sure_score).any())
