"""Photos of named people and a CSV -> which photos are of whom, and which pairs of them to compare.

Blocks for a file read. Image names are `Person/file`, whatever folders lie above.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from recognition.errors import PairsInvalid, PhotoSetInvalid
from recognition.image import ArrayImage
from recognition.photos import PhotoSet

_TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_COLUMNS = ("image_a", "image_b", "same")


@dataclass(frozen=True, slots=True, eq=False)
class PeoplesPhotos:
    """A photo set by person. names are `Person/file`, sorted, so that a person's photos are neighbours; files (the
    names within the set) are in the same order; people are the persons' names, sorted; person (n,) each photo's
    place among them.
    """

    photos: PhotoSet
    names: tuple[str, ...]
    files: tuple[str, ...]
    people: tuple[str, ...]
    person: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.names)

    def image(self, place: int) -> ArrayImage:
        """The photo at this place; blocks for reading and decoding. Raises what PhotoSet.read raises."""
        return self.photos.read(self.files[place])


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Which photos to compare, by their places: left (n,), right (n,); same (n,) is the truth."""

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]


def by_person(photos: PhotoSet) -> PeoplesPhotos:
    """Sort a photo set by person; photos in no folder are nobody's and left out. Raises PhotoSetInvalid."""
    files: dict[tuple[str, str], str] = {}
    for file in photos.names:
        key = (photos.person_of(file), PurePosixPath(file).name)
        if not key[0]:
            continue
        if key in files:
            raise PhotoSetInvalid(f"{photos.source}: {'/'.join(key)} is there twice ({files[key]}, {file}); keep one")
        files[key] = file
    if not files:
        raise PhotoSetInvalid(f"{photos.source} holds no photo in a person's folder; want Name/Name_0001.jpg")
    keys = sorted(files)
    people = sorted({person for person, _ in keys})
    number = {person: place for place, person in enumerate(people)}
    return PeoplesPhotos(
        photos=photos,
        names=tuple("/".join(key) for key in keys),
        files=tuple(files[key] for key in keys),
        people=tuple(people),
        person=np.array([number[person] for person, _ in keys], np.intp),
    )


def read_pairs(path: Path, photos: PeoplesPhotos, least: int) -> Pairs:
    """A CSV with the columns image_a, image_b, same (1 or 0). Raises PairsInvalid.

    `least`: how many pairs of each kind there must be.
    """
    place = {name: number for number, name in enumerate(photos.names)}
    source = photos.photos.source.name
    rows: list[tuple[int, int, bool]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise PairsInvalid(f"{path}: no column {missing[0]}; its first line must be {','.join(_COLUMNS)}")
            for row in reader:
                rows.append(_pair(row, place, f"{path} line {reader.line_num}", source))
    except OSError as error:
        raise PairsInvalid(f"{path} can't be read ({error.strerror}); check the path") from None
    except (UnicodeDecodeError, csv.Error):
        raise PairsInvalid(f"{path} is no CSV text in UTF-8; its first line must be {','.join(_COLUMNS)}") from None
    same = np.array([row[2] for row in rows], np.bool_)
    if min(same.sum(), (~same).sum()) < least:
        raise PairsInvalid(
            f"{path}: {same.sum()} pairs of one person and {(~same).sum()} of two; at least {least} of each are needed"
        )
    left, right = (np.array([row[side] for row in rows], np.intp) for side in (0, 1))
    return Pairs(left, right, same)


def _pair(row: Mapping[str, str | None], place: Mapping[str, int], where: str, source: str) -> tuple[int, int, bool]:
    found = []
    for column in ("image_a", "image_b"):
        image = (row[column] or "").strip()
        number = place.get("/".join(PurePosixPath(image).parts[-2:]))
        if number is None:
            raise PairsInvalid(f"{where}: {column} {image or '(empty)'} is not among the photos of {source}")
        found.append(number)
    truth = _TRUTHS.get((row["same"] or "").strip().lower())
    if truth is None:
        raise PairsInvalid(f"{where}: same is {row['same'] or '(empty)'}; want 1 or 0")
    return found[0], found[1], truth
