"""Whether the detector looks at a frame: what moved in it and whom the tracker follows in, yes or no out.

Pure apart from its own state: no clock (times come with the frames), no pixels. On the loop, for every frame taken.
docs/quiet-cameras.md says it in words for those who run it.
"""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from recognition.arrays import F32
from streamer.motion.moved import Moved

# Between two looks lies a quarter of the time that nothing has changed: half a dozen looks in the first second, fifteen
# in the next half minute. What a detector has not found in them, it seldom finds.
_SHARE = 0.25
_STIR_S = 0.5  # two pictures with movement within so long are movement; a single one is a blip, worth one look
_SUDDEN_S = 1.0  # a lamp that was switched counts as a stillness of so long
# Between two looks at what is small and moves again and again in one place, at the most; for so long it is the same.
_SMALL_S, _VAIN_S = 2.0, 30.0
_OPENED_S = 4.0  # a camera that was just opened counts as still for so long: nothing has moved in its one picture
_LEFT_S = 0.5  # whoever moved so shortly before they were seen last has left, rather than is missed by the detector
_UNSETTLED_MORE_S = 1.0  # beyond settle_s, for whoever can't be settled (a face too small) and stands still
# Between two looks at people who are settled: every second frame of ten a second; every third where all have names.
_CALM_S, _NAMED_S = 0.15, 0.25
# How far they move in it at most, in widths of their faces; and those who are so far apart that nobody can be taken for
# another, or alone.
_CALM_STEP, _APART_STEP, _APART = 0.125, 1.25, 3.0
_CALM_SIGHTINGS = 5
# A face's neighbourhood, in widths and heights of its box: whoever bears it has a body.
_BESIDE, _ABOVE, _BELOW = 1.5, 1.0, 5.0
_HOLD_S = 2.0


@dataclass(frozen=True, slots=True)
class LookingRules:
    """look_again_s: how often all is looked at in any case. gone_after_s, settle_s: the tracker's."""

    look_again_s: float = 10.0
    gone_after_s: float = 2.0
    settle_s: float = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What is known of a frame before it is looked at. size: (width, height) px; at_s: the frames' clock."""

    moved: Moved | None
    size: tuple[int, int]
    at_s: float


class Followed(Protocol):
    """A track, as the tracker has it. It is read alone but for unmoved_s, until when nothing moved around it."""

    id: str
    box: F32
    velocity: F32
    last_seen_s: float
    unmoved_s: float
    sightings: int
    settled: bool
    named: bool
    suspect: bool
    unproven: bool
    pending: int
    generation: int


class Looking:
    """Of one camera."""

    def __init__(self, rules: LookingRules | None = None) -> None:
        self.rules = rules or LookingRules()
        self.opened()

    def opened(self) -> None:
        """Its stream begins: nothing of it has been looked at."""
        self._asked_s = self._looked_s = -math.inf  # when the last frame was taken to be looked at; and was
        self._moved_s = self._stirred_s = self._shown_s = -math.inf
        self._near_s: dict[str, float] = {}  # by track: when something last moved around it
        self._vain_s = np.zeros((0, 0))  # by cell: when something small that moved there was looked at last
        self._is_owed = True

    @property
    def is_settled(self) -> bool:
        """Nothing is on its way to be looked at."""
        return self._asked_s <= self._looked_s

    def looked(self, at_s: float) -> None:
        """The tracker has had what this frame shows."""
        self._looked_s = at_s

    def missed(self) -> None:
        """A frame that was to be looked at could not be: the next one is."""
        self._is_owed = True

    @property
    def held_until_s(self) -> float:
        """Until when what moved asks for every frame."""
        return self._stirred_s + _HOLD_S

    def wants(self, shown: Shown, tracks: Sequence[Followed], generation: int) -> bool:
        """Whether this frame, the next in their order, is to be looked at. generation: the gallery's."""
        wanted = self._is_wanted(shown, tracks, generation)
        self._shown_s = shown.at_s
        if shown.moved is not None:
            for track in tracks:
                if self._near_s[track.id] <= track.last_seen_s:
                    track.unmoved_s = shown.at_s
        if wanted and not tracks:
            self._remember(shown.moved, shown.at_s)
        if wanted:
            self._asked_s, self._is_owed = shown.at_s, False
        return wanted

    def would_want(self, shown: Shown, tracks: Sequence[Followed], generation: int) -> bool:
        """What wants() would say of this frame now. Changes nothing: it may give way to a newer one."""
        return copy(self)._is_wanted(shown, tracks, generation)

    def _is_wanted(self, shown: Shown, tracks: Sequence[Followed], generation: int) -> bool:
        moved, at_s = shown.moved, shown.at_s
        if moved is None:
            return True
        areas = [_neighbourhood(track.box, shown.size, moved) for track in tracks]
        self._notice(moved, at_s, tracks, areas)
        if self._is_owed or any(track.generation != generation for track in tracks):
            return True
        since_s = at_s - self._asked_s
        if moved.any and (tracks or moved.is_large):
            return not self._is_calm(moved, tracks, areas, since_s)
        if moved.any and self._is_new(moved, at_s):
            return True
        if since_s >= min(_SHARE * (at_s - self._stirred_s), _SMALL_S if moved.any else self.rules.look_again_s):
            return True
        return any(self._is_due(track, at_s, since_s) for track in tracks)

    def _notice(
        self, moved: Moved, at_s: float, tracks: Sequence[Followed], areas: Sequence[tuple[slice, slice]]
    ) -> None:
        """When and where something moved."""
        if self._shown_s == -math.inf:
            self._stirred_s = at_s - _OPENED_S
        elif moved.is_sudden:
            self._stirred_s = max(self._stirred_s, at_s - _SUDDEN_S)
        elif moved.any:
            if moved.is_large and (at_s - self._moved_s <= _STIR_S or self._moved_s == self._shown_s):
                self._stirred_s = at_s
            self._moved_s = at_s
        # Whoever is new has just come, whether that was seen as movement or not.
        self._near_s = {
            track.id: at_s if moved.is_sudden or moved.cells[area].any() else self._near_s.get(track.id, at_s)
            for track, area in zip(tracks, areas, strict=True)
        }

    def _is_new(self, moved: Moved, at_s: float) -> bool:
        """Whether anything moves where none of late was looked at in vain, as that of a burned-in clock was."""
        vain_s = self._vain_s
        return vain_s.shape != moved.cells.shape or bool((at_s - vain_s[moved.cells] > _VAIN_S).any())

    def _remember(self, moved: Moved | None, at_s: float) -> None:
        """What moved in a frame that is looked at, while nobody is followed."""
        if moved is None or not moved.any or moved.is_large:
            return
        if self._vain_s.shape != moved.cells.shape:
            self._vain_s = np.full(moved.cells.shape, -math.inf)
        around = cv2.dilate(moved.cells.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
        self._vain_s[around] = at_s

    def _is_due(self, track: Followed, at_s: float, since_s: float) -> bool:
        """A track in a picture in which nothing moves. Its next sighting must come long before it is given up."""
        if track.last_seen_s < self._looked_s:  # the last look did not find it: is it gone?
            unseen_s = at_s - track.last_seen_s
            has_walked = self._near_s[track.id] > track.last_seen_s - _LEFT_S
            return not has_walked or since_s >= _SHARE * unseen_s or unseen_s >= self.rules.gone_after_s
        still_s = at_s - self._near_s[track.id]
        if not _is_sure(track) and still_s <= self.rules.settle_s + _UNSETTLED_MORE_S:
            return True
        return since_s >= min(_SHARE * still_s, self.rules.gone_after_s / 3)

    def _is_calm(
        self, moved: Moved, tracks: Sequence[Followed], areas: Sequence[tuple[slice, slice]], since_s: float
    ) -> bool:
        """Whether all that moves are people who are known well, where they are, and were looked at a moment ago."""
        rest_s = _NAMED_S if all(track.named for track in tracks) else _CALM_S
        if since_s >= rest_s or moved.is_sudden or not tracks:
            return False
        step = _APART_STEP if _are_apart(tracks) else _CALM_STEP
        for track in tracks:
            step_px = float(np.abs(track.velocity).max()) * rest_s
            is_slow = step_px <= step * float(track.box[2] - track.box[0])
            in_view = track.last_seen_s >= self._looked_s and track.sightings >= _CALM_SIGHTINGS
            if not (is_slow and in_view and _is_sure(track)):
                return False
        elsewhere = moved.cells.copy()
        for area in areas:
            elsewhere[area] = False
        return not elsewhere.any()


def _are_apart(tracks: Sequence[Followed]) -> bool:
    """Whether each face is several widths away from all others."""
    if len(tracks) < 2:
        return True
    boxes = np.array([track.box for track in tracks])
    middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    away = (np.abs(middles[:, None] - middles) / np.maximum(sizes[:, None], sizes).clip(1)).max(axis=2)
    np.fill_diagonal(away, np.inf)
    return bool((away >= _APART).all())


def _is_sure(track: Followed) -> bool:
    """Another face of it would say nothing new."""
    return track.settled and not (track.suspect or track.unproven or track.pending)


def _neighbourhood(box: F32, size: tuple[int, int], moved: Moved) -> tuple[slice, slice]:
    """The cells around a face: rows, columns."""
    rows, columns = moved.cells.shape
    (left, top, right, bottom), (width, height) = map(float, box), size
    wide, high = right - left, bottom - top
    across = (left - _BESIDE * wide) * columns / width, (right + _BESIDE * wide) * columns / width
    down = (top - _ABOVE * high) * rows / height, (bottom + _BELOW * high) * rows / height
    return _cells(*down, rows), _cells(*across, columns)


def _cells(least: float, most: float, count: int) -> slice:
    return slice(min(max(math.floor(least), 0), count), min(max(math.ceil(most), 0), count))
