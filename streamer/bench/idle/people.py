"""Who walks through the scenes: photos out of a ZIP with a folder a person, read where it lies. Blocks while it reads.

In: the ZIP. Out: heads to paste, in the planes that encoders take, and photos to enrol, none of which is pasted.
"""

import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from recognition.arrays import F32, U8
from streamer.errors import BenchFailed

PHOTOS_EACH = 4  # one is pasted, the others are enrolled
# The ZIP's photos are aligned as those of LFW: the face whose name a photo bears lies here, others around it.
SIDE, MIDDLE, HALF, CUT = 250, (125, 120), (68, 92), 110
FACE_SHARE = HALF[0] / CUT  # of a head's half width, what its face takes


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One head: luma (n, n) and the two chroma planes (n/2, n/2) float32, alpha of both sizes in [0, 1]."""

    luma: F32
    blue: F32
    red: F32
    alpha: F32
    half_alpha: F32

    def turned(self, degrees: float, times: float) -> "Head":
        """Tilted about its middle and so many times as large, on planes of the same size."""
        return Head(
            *(_turned(plane, degrees, times) for plane in (self.luma, self.blue, self.red, self.alpha, self.half_alpha))
        )


@dataclass(frozen=True, slots=True)
class People:
    """Names of those who are enrolled and of strangers, in the order in which scenes take them."""

    faces: Path
    enrolled: tuple[str, ...]
    strangers: tuple[str, ...]

    def head(self, person: str, size_px: int) -> Head:
        """As large as it is pasted; size_px is even."""
        with zipfile.ZipFile(self.faces) as photos:
            return _head(_read(photos, _names(photos)[person][0]), size_px)

    def write_enrolment(self, folder: Path) -> dict[str, tuple[Path, ...]]:
        """The photos of those who are enrolled, all but the middle head made grey: refusals are not measured here."""
        written = {}
        with zipfile.ZipFile(self.faces) as photos:
            names = _names(photos)
            for person in self.enrolled:
                to = folder / person
                to.mkdir(parents=True, exist_ok=True)
                written[person] = tuple(_write(photos, name, to) for name in names[person][1:PHOTOS_EACH])
        return written


def people_of(faces: Path, enrolled: int = 6, strangers: int = 6) -> People:
    """So many of a ZIP, the same ones each time. Raises BenchFailed where they are not there."""
    try:
        with zipfile.ZipFile(faces) as photos:
            by_person = _names(photos)
    except (OSError, zipfile.BadZipFile) as error:
        raise BenchFailed(f"{faces} can't be read ({error}); give a ZIP with a folder a person by --faces") from None
    many = [person for person, names in by_person.items() if len(names) >= PHOTOS_EACH]
    single = [person for person, names in by_person.items() if len(names) == 1]
    if len(many) < enrolled or len(single) < strangers:
        raise BenchFailed(
            f"{faces}: {enrolled} people with {PHOTOS_EACH} photos and {strangers} with one are needed, "
            f"{len(many)} and {len(single)} are there; give another ZIP by --faces"
        )
    return People(faces, _spread(many, enrolled), _spread(single, strangers))


def _names(photos: zipfile.ZipFile) -> dict[str, list[str]]:
    by_person = defaultdict(list)
    for name in sorted(photos.namelist()):
        if name.endswith(".jpg"):
            by_person[name.split("/")[0]].append(name)
    return dict(by_person)


def _spread(people: Sequence[str], count: int) -> tuple[str, ...]:
    """So many from all over the alphabet: neighbours in it are more often relatives."""
    return tuple(people[number * len(people) // count] for number in range(count))


def _read(photos: zipfile.ZipFile, name: str) -> U8:
    photo = cv2.imdecode(np.frombuffer(photos.read(name), np.uint8), cv2.IMREAD_COLOR)
    if photo is None or photo.shape != (SIDE, SIDE, 3):
        raise BenchFailed(f"{name} is no photo of {SIDE}x{SIDE}; give a ZIP of aligned photos by --faces")
    return np.asarray(photo, np.uint8)


def _mask() -> F32:
    """1 over the middle head, 0 outside of it, soft between; (250, 250, 1)."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    cv2.ellipse(mask, MIDDLE, HALF, 0, 0, 360, (1.0,), -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 5), np.float32)[:, :, None]


def _head(photo: U8, size_px: int) -> Head:
    x, y = MIDDLE
    window = slice(y - CUT, y + CUT), slice(x - CUT, x + CUT)
    full, half = (size_px, size_px), (size_px // 2, size_px // 2)
    planes = cv2.cvtColor(photo, cv2.COLOR_BGR2YCrCb)[window].astype(np.float32)
    alpha = _mask()[window][:, :, 0]
    luma, red, blue = (planes[:, :, plane] for plane in range(3))

    def sized(plane: F32, size: tuple[int, int]) -> F32:
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)

    # cv2's YCrCb has the full range, video 16 to 235 and 16 to 240.
    return Head(
        luma=16 + sized(luma, full) * (219 / 255),
        blue=128 + (sized(blue, half) - 128) * (224 / 255),
        red=128 + (sized(red, half) - 128) * (224 / 255),
        alpha=np.clip(sized(alpha, full), 0, 1),
        half_alpha=np.clip(sized(alpha, half), 0, 1),
    )


def _turned(plane: F32, degrees: float, times: float) -> F32:
    middle = (plane.shape[1] / 2, plane.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(middle, degrees, times)
    return np.asarray(cv2.warpAffine(plane, turn, plane.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32)


def _write(photos: zipfile.ZipFile, name: str, folder: Path) -> Path:
    mask = _mask()
    photo = _read(photos, name) * mask + 128.0 * (1 - mask)
    path = folder / Path(name).name
    cv2.imwrite(str(path), photo.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return path
