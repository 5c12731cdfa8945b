"""Whether a camera's every frame is wanted: told by whoever follows somebody or watches it, asked by its thread.

hold(), follow() and unfollow() are for the loop, is_held() and is_followed() for any. Times: time.monotonic(), s.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttentionRules:
    """look_again_s: how often a quiet picture is looked at as a whole; wake_within_s: how late a sleeper may wake."""

    look_again_s: float = 10.0
    wake_within_s: float = 1.0


class Attention:
    """Of one camera, across its openings."""

    def __init__(self, rules: AttentionRules | None = None) -> None:
        self.rules = rules or AttentionRules()
        self._held_until_s = self._followed_until_s = -math.inf

    def hold(self, until_s: float) -> None:
        """Every frame is wanted until then at least."""
        self._held_until_s = max(self._held_until_s, until_s)

    def follow(self, until_s: float) -> None:
        """Somebody is followed until then: every frame is wanted, and what moves is no noise."""
        self._followed_until_s = until_s

    def unfollow(self) -> None:
        """Nobody is followed any more."""
        self._followed_until_s = -math.inf

    def is_followed(self, now_s: float) -> bool:
        return now_s < self._followed_until_s

    def is_held(self, now_s: float) -> bool:
        return now_s < self._held_until_s or self.is_followed(now_s)
