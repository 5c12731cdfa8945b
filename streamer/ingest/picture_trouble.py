"""Why a camera's pictures can't be used although they arrive: damaged, black, always the same.

Decoded pictures go in, on the camera's thread; `reason` is for any thread. Pure apart from its own state.
"""

import math
from typing import Literal

import numpy as np

from streamer.ingest.frame import VideoImage

PictureReason = Literal["pictures_damaged", "black", "frozen"]

# What is predicted from a damaged picture is wrong until the next keyframe, and nothing in it says so. Streams without
# any (intra refresh) have mended themselves by then.
SUSPECT_S = 10.0
# The share of pictures that are suspect, over about so many seconds.
_OVER_S = 5.0
_DAMAGED, _FINE = 0.5, 0.2
BLACK_AFTER_S = 10.0
# Luma (limited range) that a black picture stays under, but for the share that a white clock in its corner may take.
_BLACK, _CLOCK = 32, 0.03
# No sensor gives the same picture twice; an encoder may repeat one, but makes it anew at a keyframe.
FROZEN_AFTER_S, FROZEN_KEYFRAMES = 60.0, 2


class PictureTrouble:
    """Of one opening."""

    def __init__(self) -> None:
        self._suspect_until_s = -math.inf
        self._suspect_share = 0.0
        self._is_damaged = False
        self._decoded_s: float | None = None
        self.is_black = False  # the last picture, however long it has been so
        self._lit_s: float | None = None  # when a picture was last not black
        self._sample: bytes | None = None
        self._changed_s = 0.0  # when the picture was last another one
        self._keyframes = 0  # since then
        self.reason: PictureReason | None = None

    def damaged(self, at_s: float) -> None:
        """Something of the stream could not be decoded: what follows is suspect."""
        self._suspect_until_s = at_s + SUSPECT_S

    def decoded(self, at_s: float, *, is_keyframe: bool, is_damaged: bool) -> None:
        """Every picture, as it comes out of the codec. at_s: on one clock, s."""
        if is_damaged:
            self.damaged(at_s)
        elif is_keyframe:
            self._suspect_until_s = -math.inf
        self._keyframes += is_keyframe
        since_s = 0.0 if self._decoded_s is None else min(max(at_s - self._decoded_s, 0.0), 1.0)
        self._decoded_s = at_s
        is_suspect = at_s < self._suspect_until_s
        self._suspect_share += (is_suspect - self._suspect_share) * -math.expm1(-since_s / _OVER_S)
        self._is_damaged = self._suspect_share > (_FINE if self._is_damaged else _DAMAGED)
        if self._is_damaged:
            self.reason = "pictures_damaged"  # also where none of them is fit to be looked at

    def look(self, image: VideoImage, at_s: float) -> None:
        """A picture that is used; sets `reason`."""
        luma = image.luma_sample()
        sample = luma.tobytes()
        if sample != self._sample:
            self._sample, self._changed_s, self._keyframes = sample, at_s, 0
        can_tell = image.open_share > 0  # masks that cover all are no trouble of the camera's
        self.is_black = can_tell and bool(np.count_nonzero(luma > _BLACK) <= _CLOCK * luma.size * image.open_share)
        if self._lit_s is None or not self.is_black:
            self._lit_s = at_s
        if self._is_damaged:
            self.reason = "pictures_damaged"
        elif at_s - self._lit_s >= BLACK_AFTER_S:
            self.reason = "black"
        elif can_tell and at_s - self._changed_s >= FROZEN_AFTER_S and self._keyframes >= FROZEN_KEYFRAMES:
            self.reason = "frozen"
        else:
            self.reason = None
