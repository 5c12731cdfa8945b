"""What a camera shows when nothing moves: brightness of small pictures in, which of their cells are news out.

A cell is news where it differs from what it was when it was last told of, by more than its own noise; it is told of
once, and that is then what it is compared with. Pure apart from its own state; one thread.

So nothing holds it open for long: somebody who stands still and a ghost of somebody who left are news once. Between
two pictures the light of the whole may change by a factor (a camera's exposure), which is no news; light that drifts
is followed cell by cell. Noise is learnt: that of all cells by the step from picture to picture, that of each by a
high quantile of what it differs by (sigma-delta, as in Manzanera & Richefeu 2007), so that leaves, rain and the
seconds of a burned-in clock grow their own limits. How the limits were measured: docs/quiet-cameras.md.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from recognition.arrays import F32, U8
from streamer.motion.moved import LARGE

Cells = NDArray[np.bool_]

BLACK = 16.0  # limited range
# Cells are blurred so that one sees as far as its neighbours: the noise of a third, and small faces in whole.
_BLUR = 0.85
# Luma between which a cell's limit lies. Under the least an encoder breathes; above the most nothing is ever learnt.
LEAST, MOST = 2.5, 40.0
# The limit, in units of the quantile (0.8) that is learnt: 5.8 standard deviations of noise that is normal.
_TIMES = 4.5
_QUANTILE_OF_STEP = 1.34  # that quantile of normal noise, by the median of the step between two pictures
_LEARN_PER_S, _UP = 0.04, 4.0  # the share by which it sinks; so many times faster it rises
_BLIP = 1.3  # what comes and is gone in the next picture is nobody: rain, an insect
_RAIN_LEAST, _RAIN_MOST, _RAIN_RISES, _RAIN_SINKS_PER_S = 0.3, 16.0 / _TIMES, 0.05, 0.05
_CLOSE_S = 0.25  # pictures further apart don't tell how something came
# A burned-in clock: what changes at one blow, alone and again and again. Whoever moves, moves on to the next cell.
_ALONE_S, _ALONE_CELLS = 0.5, 7
_TICKS, _STILL_TICKS, _MOST_TICKS, _TICKS_FADE_S = 3.0, 2.0, 6.0, 40.0
_FOLLOW_S = 8.0  # time constant by which a quiet cell follows what drifts
_NEIGHBOURS = 3  # of 3 by 3 cells: fewer are no face
SUDDEN = 0.4  # share of cells
_SUDDEN_LIGHT = 0.15  # factor of the whole picture's light, at once
# Luma over black that light can be told by; and the share of cells that has to be lit, or not to be masked, for that.
_LIT, _LEAST_LIT = 8.0, 0.1
_LEARN_STEP_AFTER = 10  # pictures after a sudden change, by which the noise is known again


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """cells: bool, of the picture's shape; is_sudden: nearly everything is, or the light."""

    cells: Cells
    is_sudden: bool


class Background:
    """Of one camera and picture size."""

    def __init__(self) -> None:
        self._at_s = self._began_s = 0.0
        self._pictures = 0  # since all was new
        self._step = 0.0  # noise of all cells, as a quantile
        self._rain = 0.0  # the same of what comes and goes, now here, now there
        self._last: F32 | None = None
        self._told: F32  # what each cell was when it was last told of, followed since
        self._before: F32  # and before that
        self._was_news: Cells  # in the last picture
        self._noise: F32
        self._seen: F32  # pictures since a cell was told of
        self._stirred_s: F32  # when a cell or its neighbours last were news
        self._ticks: F32  # how often it changed alone of late

    def compare(self, luma: U8, at_s: float, *, learns: bool = True) -> News:
        """luma: (rows, columns), limited range. learns: limits may grow (not while somebody is followed there)."""
        now: F32 = np.asarray(cv2.GaussianBlur(luma.astype(np.float32), (3, 3), _BLUR), np.float32)
        last = self._last
        if last is None or last.shape != now.shape:
            return self._begin(now, at_s)
        since_s = min(max(at_s - self._at_s, 0.01), 2.0)
        self._at_s, self._last = at_s, now
        self._pictures += 1
        step = _step(now[::2, ::2], last[::2, ::2]) * _QUANTILE_OF_STEP
        light = self._follow_light(now)
        away = np.abs(now - self._told)
        limits = np.clip(_TIMES * np.maximum(self._noise, max(self._step, self._rain)), LEAST, MOST)
        back = self._was_news & (np.abs(now - self._before) < limits)
        cells = self._without_ticks(_crowded((away > limits) & ~back), at_s, since_s)
        self._learn(step, since_s)
        is_sudden = _share(cells) > SUDDEN or light > _SUDDEN_LIGHT
        if is_sudden:
            self._renew(now)
            return News(cells, is_sudden=True)
        self._learn_noise(away, back, since_s, learns=learns)
        self._follow(now, cells, back, since_s)
        return News(cells, is_sudden=False)

    def _begin(self, now: F32, at_s: float) -> News:
        self._at_s, self._last = at_s, now
        self._step = 0.0
        self._stirred_s = np.full(now.shape, -1e9, np.float32)
        self._ticks = np.zeros(now.shape, np.float32)
        self._began_s = at_s
        self._renew(now)
        return News(np.ones(now.shape, np.bool_), is_sudden=True)

    def _renew(self, now: F32) -> None:
        """All of it is told of, and its noise is not known."""
        self._pictures = 0
        self._told, self._before = now.copy(), now
        self._was_news = np.zeros(now.shape, np.bool_)
        self._noise = np.zeros(now.shape, np.float32)
        self._seen = np.ones(now.shape, np.float32)

    def _follow_light(self, now: F32) -> float:
        """What was told is made as light as this picture as a whole; by which share that was."""
        told = self._told[1::3, 1::3] - BLACK
        lit = told >= _LIT  # neither by night nor of what is masked can it be told
        if _share(lit) < _LEAST_LIT:
            return 0.0
        factor = _median((now[1::3, 1::3][lit] - BLACK) / told[lit])
        change = abs(factor - 1.0)
        if 0.002 < change <= _SUDDEN_LIGHT:
            self._told = np.minimum(BLACK + (self._told - BLACK) * np.float32(factor), np.float32(235))
        return change

    def _without_ticks(self, cells: Cells, at_s: float, since_s: float) -> Cells:
        """Without those that change at one blow, alone, again and again."""
        self._ticks *= np.float32(np.exp(-since_s / _TICKS_FADE_S))
        if not 0 < _share(cells) <= SUDDEN:
            return cells
        now_s = np.float32(at_s - self._began_s)
        alone = cells & (now_s - self._stirred_s > _ALONE_S)
        if since_s > _CLOSE_S and _share(cells) >= LARGE:
            alone &= self._ticks >= _STILL_TICKS
        ticking = cells & (self._ticks >= _TICKS - 1)
        self._ticks[alone] = np.minimum(self._ticks[alone] + 1, _MOST_TICKS)
        near = cv2.dilate(cells.view(np.uint8), np.ones((_ALONE_CELLS, _ALONE_CELLS), np.uint8)).view(np.bool_)
        self._stirred_s[near] = now_s
        return cells & ~ticking

    def _learn(self, step: float, since_s: float) -> None:
        """The noise of all: at once after a change, then slowly."""
        share = 0.5 if self._pictures <= _LEARN_STEP_AFTER else min(since_s / 2.0, 0.5)
        self._step += (step - self._step) * share

    def _learn_noise(self, away: F32, back: Cells, since_s: float, *, learns: bool) -> None:
        sinks = min(_LEARN_PER_S * since_s, 0.05)
        rises = _UP * sinks if learns else 0.0
        noise = np.maximum(self._noise, np.float32(0.15))
        noise *= np.where(away > noise, np.float32(1 + rises), np.float32(1 - sinks))
        if learns and since_s <= _CLOSE_S:
            noise[back] *= np.float32(_BLIP)
            self._learn_rain(back, since_s)
        self._noise = np.minimum(noise, np.float32(MOST / _TIMES))

    def _learn_rain(self, back: Cells, since_s: float) -> None:
        """It rains where most of the last picture's news is gone again."""
        blips, news = np.count_nonzero(back), np.count_nonzero(self._was_news)
        if blips and 2 * blips > news:
            self._rain = min(max(self._rain, _RAIN_LEAST) * (1 + _RAIN_RISES), _RAIN_MOST)
        else:
            self._rain *= 1 - _RAIN_SINKS_PER_S * since_s

    def _follow(self, now: F32, cells: Cells, back: Cells, since_s: float) -> None:
        """News is what is known from now on; what came back is what it was."""
        share = np.maximum(1 / (self._seen + 1), np.float32(1 - np.exp(-since_s / _FOLLOW_S)))
        told = np.where(back, self._before, self._told)
        self._before = np.where(cells, told, self._before)
        told += (now - told) * share
        self._told = np.where(cells, now, told)
        self._seen = np.where(cells, np.float32(1), self._seen + 1)
        self._was_news = cells


def _step(now: F32, last: F32) -> float:
    """Between two pictures, of half of what is not black: masks have no noise."""
    steps, seen = np.abs(now - last), now > BLACK
    return _median(steps[seen] if _share(seen) >= _LEAST_LIT else steps)


def _median(values: F32) -> float:
    """The upper one, where there are two; numpy's own takes three times as long."""
    half = values.size // 2
    return float(np.partition(values, half, axis=None)[half])


def _share(cells: Cells) -> float:
    return int(np.count_nonzero(cells)) / cells.size


def _crowded(cells: Cells) -> Cells:
    """Those that have neighbours."""
    around = cv2.boxFilter(cells.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cells & (around >= _NEIGHBOURS))
