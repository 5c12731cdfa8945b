"""A clip with a known truth: photos of LFW in, people who walk through a picture two at a time, out.

Enrolled people and strangers cross the picture on two paths, one above the other, so that nobody covers
anybody; between two walkers on a path there is nobody for longer than a visit takes to end. Blocks.
"""

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

WIDTH, HEIGHT, FPS = 1280, 720, 10
HEAD_PX = 230
CROSSING_S, PAUSE_S = 3.5, 3.0
PATH_MIDDLES = (195, 525)  # px from the top; heads end well before the other path's begin
LAG_S = 1.2  # the lower path runs behind the upper one

# LFW is aligned: the face whose name the photo bears lies here. Outside of it there may be other people.
_MIDDLE, _HALF = (125, 120), (68, 92)


@dataclass(frozen=True)
class Walker:
    """One crossing. person: the LFW folder; enter_s, leave_s: when the head's first, last pixel is seen.

    photo: which of this person's is seen.
    """

    person: str
    enrolled: bool
    enter_s: float
    leave_s: float
    path: int
    photo: int = 0


@dataclass(frozen=True)
class Walk:
    """The clip and its truth.

    enrolment: person -> photos, none of which is in the clip; one of them shows a passer-by behind, smaller.
    """

    clip: Path
    seconds: float
    walkers: tuple[Walker, ...]
    enrolment: dict[str, tuple[Path, ...]]

    def present(self, at_s: float) -> list[Walker]:
        """Who is in the picture."""
        return [w for w in self.walkers if w.enter_s <= at_s <= w.leave_s]


def compose_walk(faces_zip: Path, folder: Path, *, people: int = 12) -> Walk:
    """Write the clip and the enrolment photos of `people` enrolled and as many strangers into `folder`.

    Deterministic: the same people, photos and order every time.
    """
    with zipfile.ZipFile(faces_zip) as photos:
        by_person = _photos_by_person(photos)
        many = [p for p, names in by_person.items() if len(names) >= 4]
        single = [p for p, names in by_person.items() if len(names) == 1]
        known, unknown = _spread(many, people), _spread(single, people)
        enrolment = {p: _write_enrolment(photos, by_person[p][1:4], folder / "enrol" / p) for p in known}
        order = [person for pair in zip(known, unknown, strict=True) for person in pair]
        walkers = tuple(_timetable([(person, 0) for person in order], set(known)))
        return _written(folder / "walk.mp4", walkers, photos, by_person, enrolment)


def compose_strangers(faces_zip: Path, folder: Path, *, people: int, again: int) -> tuple[Walk, Walk]:
    """Two clips in `folder`: of `people` strangers, the first `again` of whom come a second time, in another photo; and
    of the first of them, who comes alone in a third photo. Deterministic.
    """
    with zipfile.ZipFile(faces_zip) as photos:
        by_person = _photos_by_person(photos)
        twice = _spread([p for p, names in by_person.items() if len(names) >= 3], again)
        once = _spread([p for p, names in by_person.items() if len(names) == 1], people - again)
        order = [(person, 0) for person in twice + once] + [(person, 1) for person in twice]
        walks = {"strangers.mp4": order, "later.mp4": [(twice[0], 2)]}
        strangers, later = (
            _written(folder / name, tuple(_timetable(order, set())), photos, by_person, {})
            for name, order in walks.items()
        )
    return strangers, later


def _written(
    clip: Path,
    walkers: tuple[Walker, ...],
    photos: zipfile.ZipFile,
    by_person: dict[str, list[str]],
    enrolment: dict[str, tuple[Path, ...]],
) -> Walk:
    seen = {(w.person, w.photo) for w in walkers}
    heads = {(p, photo): _head(_read(photos, by_person[p][photo]), HEAD_PX) for p, photo in seen}
    seconds = max(w.leave_s for w in walkers) + PAUSE_S
    _render(clip, seconds, walkers, heads)
    return Walk(clip, seconds, walkers, enrolment)


def _photos_by_person(photos: zipfile.ZipFile) -> dict[str, list[str]]:
    by_person = defaultdict(list)
    for name in sorted(photos.namelist()):
        if name.endswith(".jpg"):
            by_person[name.split("/")[0]].append(name)
    return dict(by_person)


def _spread(people: list[str], count: int) -> list[str]:
    """`count` people from all over the alphabet: neighbours in it are more often relatives."""
    step = len(people) / count
    return [people[int(number * step)] for number in range(count)]


def _timetable(order: list[tuple[str, int]], known: set[str]) -> Iterator[Walker]:
    """order: (person, photo) of each crossing."""
    for number, (person, photo) in enumerate(order):
        turn, path = divmod(number, 2)
        path = (path + turn) % 2  # enrolled people and strangers change paths each turn
        enter_s = 1.0 + path * LAG_S + turn * (CROSSING_S + PAUSE_S)
        yield Walker(person, person in known, enter_s, enter_s + CROSSING_S, path, photo)


def _read(photos: zipfile.ZipFile, name: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(photos.read(name), np.uint8), cv2.IMREAD_COLOR)


def _mask() -> np.ndarray:
    """1 over the middle head, 0 outside of it, soft between; float32 (250, 250, 1)."""
    mask = np.zeros((250, 250), np.float32)
    cv2.ellipse(mask, _MIDDLE, _HALF, 0, 0, 360, 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), 5)[:, :, None]


def _head(photo: np.ndarray, size_px: int) -> np.ndarray:
    """The middle head alone: (size, size, 4) float32, B, G, R as they are and alpha in [0,1]."""
    x, y, half = _MIDDLE[0], _MIDDLE[1], 110
    cut = np.dstack([photo.astype(np.float32), _mask()])[y - half : y + half, x - half : x + half]
    return cv2.resize(cut, (size_px, size_px), interpolation=cv2.INTER_CUBIC)


def _write_enrolment(photos: zipfile.ZipFile, names: list[str], folder: Path) -> tuple[Path, ...]:
    """The photos, all but the middle head made grey: refusals for a passer-by are not tested here."""
    folder.mkdir(parents=True)
    paths = []
    for name in names:
        mask = _mask()
        photo = _read(photos, name) * mask + 128.0 * (1 - mask)
        paths.append(folder / Path(name).name)
        cv2.imwrite(str(paths[-1]), photo.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return tuple(paths)


def _background() -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, 1, (HEIGHT // 8, WIDTH // 8)).astype(np.float32)
    texture = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 1.2), (WIDTH, HEIGHT))[:, :, None] * 20
    light = np.linspace(150, 105, HEIGHT, dtype=np.float32)[:, None, None]
    return np.clip(light * np.array([1.05, 1.0, 0.93], np.float32) + texture, 0, 255).astype(np.uint8)


def _place(walker: Walker, number: int, at_s: float) -> tuple[int, int]:
    """The head's top left corner: straight across, to either side in turn, bobbing with each step."""
    share = (at_s - walker.enter_s) / CROSSING_S
    x = -HEAD_PX + share * (WIDTH + HEAD_PX)
    if (number // 2 + walker.path) % 2:
        x = WIDTH - HEAD_PX - x
    bob = 10 * np.sin(2 * np.pi * 1.7 * (at_s - walker.enter_s))
    return round(x), round(PATH_MIDDLES[walker.path] - HEAD_PX / 2 + bob)


def _paste(picture: np.ndarray, head: np.ndarray, x: int, y: int) -> None:
    left, right = max(x, 0), min(x + HEAD_PX, WIDTH)
    if left >= right:
        return
    part = head[:, left - x : right - x]
    under = picture[y : y + HEAD_PX, left:right]
    alpha = np.clip(part[:, :, 3:], 0, 1)
    under[:] = np.clip(part[:, :, :3] * alpha + under * (1 - alpha), 0, 255).astype(np.uint8)


def _render(path: Path, seconds: float, walkers: tuple[Walker, ...], heads: dict[tuple[str, int], np.ndarray]) -> None:
    background = _background()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", FPS
        for frame in range(round(seconds * FPS)):
            at_s = frame / FPS
            picture = background.copy()
            for number, walker in enumerate(walkers):
                if walker.enter_s <= at_s <= walker.leave_s:
                    _paste(picture, heads[walker.person, walker.photo], *_place(walker, number, at_s))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
