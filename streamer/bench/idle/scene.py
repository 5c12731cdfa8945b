"""A hall that is quiet for minutes, through which people walk at known times: its truth, and its pictures one by one.

A timetable and people's heads go in; planes of 4:2:0 pictures come out, the same ones every time. Pure but for the
ZIP that heads are read from; blocks while pictures are composed (some ms each).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from recognition.arrays import F32, U8
from streamer.bench.idle.people import FACE_SHARE, Head, People

NOISES = 8  # planes of it, each shifted anew every time
INFRARED_NOISE = 2.0  # times as much of it at night
RAIN_STREAKS = 60


@dataclass(frozen=True, slots=True)
class Walk:
    """One visit. enter_s, leave_s: when the head's first, last pixel is seen; path: 0 the upper one, 1 the lower.

    stands_s: from when until when it stands still in the middle; turns: it leaves where it came from.
    """

    person: str
    enrolled: bool
    enter_s: float
    leave_s: float
    path: int = 0
    stands_s: tuple[float, float] | None = None
    turns: bool = False

    def stands_at(self, at_s: float) -> bool:
        return self.stands_s is not None and self.stands_s[0] <= at_s < self.stands_s[1]

    def step_at(self, at_s: float) -> float:
        """-1 to 1: how high it is carried; hardly moved where it stands."""
        rate_hz, much = (0.3, 0.15) if self.stands_at(at_s) else (1.7, 1.0)
        return much * math.sin(2 * math.pi * rate_hz * (at_s - self.enter_s))

    def share_at(self, at_s: float) -> float:
        """How far across the picture, 0 to 1: 0.5 is the middle."""
        if self.stands_s is None:
            return (at_s - self.enter_s) / (self.leave_s - self.enter_s)
        from_s, until_s = self.stands_s
        if at_s <= from_s:
            return 0.5 * (at_s - self.enter_s) / (from_s - self.enter_s)
        if at_s < until_s:
            return 0.5
        way = 0.5 * (at_s - until_s) / (self.leave_s - until_s)
        return 0.5 - way if self.turns else 0.5 + way


@dataclass(frozen=True, slots=True)
class InView:
    """A walk whose whole face is in the picture, in seconds of the scene."""

    walk: Walk
    from_s: float
    until_s: float


@dataclass(frozen=True)
class Scene:
    """The pictures' size and rate, and all that happens.

    noise: standard deviation of the sensor's, in grey levels; drift: how far the light goes up and down in drift_s
    seconds, as a share; head_share: of the height; paths: where heads have their middle, of it, nobody covers anybody;
    infrared_s: from when until when the camera sees by its lamp; rain_s: likewise.
    """

    width: int
    height: int
    fps: int
    seconds: float
    walks: tuple[Walk, ...] = ()
    noise: float = 1.5
    clock: bool = True
    drift: float = 0.05
    drift_s: float = 50.0
    infrared_s: tuple[float, float] | None = None
    rain_s: tuple[float, float] | None = None
    seed: int = 3
    head_share: float = 0.32
    paths: tuple[float, ...] = (0.27, 0.73)

    @property
    def frames(self) -> int:
        return round(self.seconds * self.fps)

    @cached_property
    def head_px(self) -> int:
        return round(self.height * self.head_share / 2) * 2

    def present(self, at_s: float) -> list[Walk]:
        """Of whom anything is in the picture."""
        return [walk for walk in self.walks if walk.enter_s <= at_s <= walk.leave_s]

    def is_night(self, at_s: float) -> bool:
        return self.infrared_s is not None and self.infrared_s[0] <= at_s < self.infrared_s[1]

    @cached_property
    def in_view(self) -> tuple[InView, ...]:
        """Each walk from its first picture with the whole face to its last."""
        return tuple(self._seen(walk) for walk in self.walks)

    def _seen(self, walk: Walk) -> InView:
        first, last = (math.ceil(walk.enter_s * self.fps), math.floor(walk.leave_s * self.fps))
        whole = [number / self.fps for number in range(first, last + 1) if self._is_whole(walk, number / self.fps)]
        return InView(walk, whole[0], whole[-1])

    def _is_whole(self, walk: Walk, at_s: float) -> bool:
        middle = self.place(walk, at_s)[0] + self.head_px / 2
        half = self.head_px / 2 * FACE_SHARE
        return half <= middle <= self.width - half

    def place(self, walk: Walk, at_s: float) -> tuple[int, int]:
        """The head's top left corner, even numbers: it bobs with each step."""
        x = -self.head_px + walk.share_at(at_s) * (self.width + self.head_px)
        if (self.walks.index(walk) + walk.path) % 2:
            x = self.width - self.head_px - x
        y = self.paths[walk.path] * self.height - self.head_px / 2 + 0.014 * self.height * walk.step_at(at_s)
        return 2 * round(x / 2), 2 * round(y / 2)

    def pictures(self, people: People | None = None) -> Iterator[U8]:
        """Every picture, (height * 3 / 2, width) as yuv420p lies; `people` None: nobody walks."""
        assert people is not None or not self.walks, "somebody has to walk"
        persons = {walk.person for walk in self.walks}
        heads = {} if people is None else {one: people.head(one, self.head_px) for one in persons}
        painter = _Painter(self, heads)
        for number in range(self.frames):
            yield painter.picture(number)


class _Painter:
    """Composes a scene's pictures in order."""

    def __init__(self, scene: Scene, heads: dict[str, Head]) -> None:
        self._scene = scene
        self._heads = heads
        self._random = np.random.default_rng(scene.seed)
        self._hall = {night: self._background(night=night) for night in (False, True)}
        self._noises = [
            self._random.normal(0, scene.noise, (scene.height, scene.width)).round().astype(np.int16)
            for _ in range(NOISES if scene.noise else 0)
        ]

    def picture(self, number: int) -> U8:
        scene, at_s = self._scene, number / self._scene.fps
        night = scene.is_night(at_s)
        hall = self._hall[night]
        gain = 1 + scene.drift * math.sin(2 * math.pi * at_s / scene.drift_s)
        picture = hall.copy()
        cv2.convertScaleAbs(hall[: scene.height], picture[: scene.height], gain if not night else 1.0)
        for walk in scene.present(at_s):
            # A head that merely slides is what encoders do best: a walker's nods and comes nearer, too.
            step = walk.step_at(at_s)
            head = self._heads[walk.person].turned(5 * step, 0.97 + 0.03 * math.cos(3 * at_s) * abs(step))
            self._paste(picture, head, *scene.place(walk, at_s), night=night)
        luma = picture[: scene.height]
        if scene.rain_s is not None and scene.rain_s[0] <= at_s < scene.rain_s[1]:
            self._rain(luma, number)
        if self._noises:
            self._add_noise(luma, number, INFRARED_NOISE if night else 1.0)
        if scene.clock:
            self._clock(luma, int(at_s))
        return picture

    def _background(self, *, night: bool) -> U8:
        """Walls with a texture, a floor, a door and a lamp: (height * 3 / 2, width)."""
        height, width = self._scene.height, self._scene.width
        coarse = np.random.default_rng(self._scene.seed).normal(0, 1, (height // 8, width // 8)).astype(np.float32)
        texture = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 1.2), (width, height)) * 18
        luma = np.linspace(150, 100, height, dtype=np.float32)[:, None] + texture
        luma[round(0.62 * height) :] -= 18
        luma[round(0.2 * height) : round(0.62 * height), round(0.8 * width) : round(0.9 * width)] -= 35
        cv2.circle(luma, (width // 2, 0), height // 10, (220.0,), -1)
        chroma = np.full((height // 2, width), 128, np.uint8)
        if night:  # the lamp lights the middle, what is far away stays dark, and there is no colour
            rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
            luma = 30 + (0.7 * luma) * np.exp(-(rows**2) - columns**2)
        else:
            chroma[: height // 4] -= 5
            chroma[height // 4 :] += 5
        return np.vstack([np.clip(luma, 16, 235).astype(np.uint8), chroma])

    def _paste(self, picture: U8, head: Head, x: int, y: int, *, night: bool) -> None:
        height = self._scene.height
        colour = picture[height:].reshape(2, height // 2, -1)
        _blend(picture[:height], head.luma, head.alpha, x, y)
        if not night:
            _blend(colour[0], head.blue, head.half_alpha, x // 2, y // 2)
            _blend(colour[1], head.red, head.half_alpha, x // 2, y // 2)

    def _add_noise(self, luma: U8, number: int, times: float) -> None:
        noise = self._noises[number % NOISES]
        # A shift keeps a plane from coming back as it was: encoders would see that.
        shift = number * 7919 % noise.shape[0]
        for above, below in ((luma[shift:], noise[: len(luma) - shift]), (luma[:shift], noise[len(luma) - shift :])):
            if len(above):
                cv2.scaleAdd(below, times, above.astype(np.int16)).clip(0, 255, out=above, casting="unsafe")

    def _rain(self, luma: U8, number: int) -> None:
        height, width = luma.shape
        drops = np.random.default_rng((self._scene.seed, number))
        length = height // 18
        for x, y, light in drops.integers((0, 0, 150), (width, height, 220), (RAIN_STREAKS, 3)).tolist():
            cv2.line(luma, (x, y), (x + length // 6, y + length), (light,), 1, cv2.LINE_AA)

    def _clock(self, luma: U8, second: int) -> None:
        text = f"2026-11-30 22:{10 + second // 60 % 50:02d}:{second % 60:02d} HALL"
        size = luma.shape[0] / 720
        origin = round(20 * size), round(40 * size)
        for grey, width in ((16, 5), (235, 2)):
            cv2.putText(luma, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (grey,), max(1, round(width * size)))


def _blend(plane: U8, part: F32, alpha: F32, x: int, y: int) -> None:
    left, right = max(x, 0), min(x + part.shape[1], plane.shape[1])
    if left >= right:
        return
    columns = slice(left - x, right - x)
    under = plane[y : y + part.shape[0], left:right]
    share = alpha[: len(under), columns]
    under[:] = (part[: len(under), columns] * share + under * (1 - share)).astype(np.uint8)


def hall(
    people: People,
    *,
    size: tuple[int, int] = (1920, 1080),
    fps: int = 25,
    seconds: float = 64.0,
    begins_s: float = 20.0,
    cast: int = 0,
    second: bool = True,
) -> Scene:
    """The usual scene: somebody enrolled comes at `begins_s`, stands still, turns, and has left after 8 s.

    cast: who they are; second: whether a stranger crosses while the first stands there. `dataclasses.replace` gives it
    other weather.
    """
    at = begins_s
    walks = [
        Walk(people.enrolled[cast % len(people.enrolled)], True, at, at + 8.0, 0, (at + 2.0, at + 6.0), turns=True)
    ]
    if second:
        walks.append(Walk(people.strangers[cast % len(people.strangers)], False, at + 3.0, at + 6.5, 1))
    return Scene(*size, fps, seconds, tuple(walks), drift_s=seconds)  # a lap ends with the light with which it began


def passage(
    people: People, *, size: tuple[int, int] = (1280, 720), fps: int = 15, seconds: float = 64.0, begins_s: float = 20.0
) -> Scene:
    """Somebody enrolled crosses the hall without a stop, in 4 s."""
    walk = Walk(people.enrolled[0], True, begins_s, begins_s + 4.0)
    return Scene(*size, fps, seconds, (walk,), drift_s=seconds)


def crowd(people: People, *, size: tuple[int, int] = (1280, 720), fps: int = 10, seconds: float = 12.0) -> Scene:
    """Four paths, on each of which one comes after the other: three faces or four in every picture."""
    persons = [(person, True) for person in people.enrolled] + [(person, False) for person in people.strangers]
    walks = []
    for path in range(4):
        for turn in range(int(seconds // 4)):
            enter_s = 4.0 * turn + path / 2
            person, enrolled = persons[(turn * 4 + path) % len(persons)]
            if enter_s + 3.5 <= seconds:
                walks.append(Walk(person, enrolled, enter_s, enter_s + 3.5, path))
    return Scene(*size, fps, seconds, tuple(walks), head_share=0.22, paths=(0.14, 0.38, 0.62, 0.86))


def empty(size: tuple[int, int] = (1280, 720), fps: int = 15, seconds: float = 60.0) -> Scene:
    """The same hall, and nobody in it."""
    return Scene(*size, fps, seconds)
