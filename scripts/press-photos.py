#!/usr/bin/env python3
"""Enrolment from press photos: how many are refused for a face in the background, how many enrol the wrong face?

    python scripts/press-photos.py photos.zip --weights ../shared/models
    python scripts/press-photos.py photos.zip --detector nano_det --embedder nano_embed --photos 300
    python scripts/press-photos.py photos.zip --ratio

Photos of a zip or folder with a folder for each person, whose photo it is nearest the middle, as LFW has them. Three
kinds: as they are; those in which the detector finds several faces; composed ones, of photos with one face, with one to
three other people beside the person, at --beside of the size. One at a time, or together with up to four others of the
same person, everybody in one gallery. --ratio tells how often the most prominent face is wrong.
"""

import argparse
import asyncio
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gallery.enrolment.choice import prominence
from gallery.enrolment.enrol import Gate, Terms, enrol
from gallery.errors import EnrolledAlready, NoPhotoAccepted
from gallery.storage.store import PersonStore
from recognition.image import Image, read_image
from recognition.photos import PhotoSet, nearest_to_centre
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser

GATE = Gate(min_face_px=48, min_quality=0.25)
MOST_TOGETHER = 5
RATIOS = (1.0, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 2.0)


@dataclass(frozen=True)
class Press:
    """A photo on disk, whose it is, and where that face's middle should be."""

    path: Path
    person: str
    middle: tuple[float, float]


def composed(
    photo: np.ndarray, beside: Sequence[np.ndarray], scales: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """The photo in the middle of a wider picture, other people's photos smaller at known places at its sides."""
    high, wide = photo.shape[:2]
    across = round(wide * 2.2)
    scene = cv2.GaussianBlur(cv2.resize(photo, (across, high)), (0, 0), 25)
    left = (across - wide) // 2
    for number, other in enumerate(beside):
        side = round(wide * rng.uniform(*scales))
        small = cv2.resize(other, (side, side), interpolation=cv2.INTER_AREA)
        top = int(rng.integers(0, high - side + 1))
        x = (left - side, left + wide, max(0, left - 2 * side))[number]
        x = min(max(x, 0), across - side)
        scene[top : top + side, x : x + side] = small
    scene[:, left : left + wide] = photo
    return scene


def written(
    photos: PhotoSet,
    names: Sequence[str],
    bystanders: Sequence[str],
    folder: Path,
    scales: tuple[float, float] | None,
    rng: np.random.Generator,
) -> list[Press]:
    """`scales` None: as they are, else composed()."""
    folder.mkdir()
    press = []
    for number, name in enumerate(names):
        picture, person = photos.read(name).bgr(), photos.person_of(name)
        if scales is not None:
            others = [other for other in rng.choice(bystanders, 8).tolist() if photos.person_of(other) != person]
            beside = [photos.read(other).bgr() for other in others[: int(rng.integers(1, 4))]]
            picture = composed(picture, beside, scales, rng)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), picture)
        press.append(Press(path, person, (picture.shape[1] / 2, picture.shape[0] / 2)))
    return press


async def enrolled(albums: Sequence[Sequence[Press]], recogniser: Recogniser, database: Path) -> Counter[str]:
    """What became of the photos, all people in one gallery: right, wrong, or the code that they were refused with."""
    thresholds = recogniser.embedder.spec.thresholds
    threshold, verifies = (thresholds.cosine_at(at) for at in (thresholds.identification, thresholds.verification))
    ends: Counter[str] = Counter()
    with PersonStore(database) as store:
        for album in albums:
            paths = [photo.path for photo in album]
            try:
                report = await enrol(album[0].person, paths, recogniser, store, Terms(GATE, threshold, verifies))
            except NoPhotoAccepted as error:
                ends.update(code for _, code, _ in error.refused)
                continue
            except EnrolledAlready as error:
                ends[error.code] += len(paths)
                continue
            ends.update(refused.code for refused in report.refused)
            kept = store.templates(recogniser.space).matrix[-len(report.taken) :]
            for taken, template in zip(report.taken, kept, strict=True):
                photo = next(photo for photo in album if photo.path == taken.path)
                ends["right" if await is_right(photo, template, recogniser) else "wrong"] += 1
    return ends


async def is_right(photo: Press, template: np.ndarray, recogniser: Recogniser) -> bool:
    """Whether the template is of the face in the photo's middle."""
    faces = await recogniser.faces(read_image(photo.path))
    middles = faces.detections.landmarks.mean(axis=1)
    meant = int(np.hypot(*(middles - np.array(photo.middle)).T).argmin())
    return int((faces.embeddings @ template).argmax()) == meant


async def crowded(photos: PhotoSet, recogniser: Recogniser) -> list[str]:
    return [name for name in photos.names if len((await recogniser.detect(photos.read(name), "x")).detections) > 1]


async def ratios(photos: PhotoSet, recogniser: Recogniser, count: int, rng: np.random.Generator) -> None:
    names = rng.permutation(photos.names)[:count].tolist()
    leads: list[tuple[float, bool]] = []
    for name in names:
        image: Image = photos.read(name)
        found = (await recogniser.detect(image, "x")).detections
        if len(found) > 1:
            prominent = prominence(found, image.width, image.height)
            first, second = np.argsort(-prominent)[:2]
            lead = float(prominent[first] / max(prominent[second], 1e-6))
            leads.append((lead, int(first) == nearest_to_centre(found, image)))
    print(f"{len(names)} photos, {len(leads)} with several faces")  # noqa: T201
    for ratio in RATIOS:
        taken = [right for lead, right in leads if lead >= ratio]
        unclear = (len(leads) - len(taken)) / len(names)
        print(f"ratio {ratio:.2f}: {len(taken)} taken, {taken.count(False)} wrong, {unclear:.2%} unclear")  # noqa: T201


def together(press: Sequence[Press]) -> list[list[Press]]:
    people: dict[str, list[Press]] = defaultdict(list)
    for photo in press:
        people[photo.person].append(photo)
    return [album[:MOST_TOGETHER] for album in people.values()]


async def measured(options: argparse.Namespace) -> None:
    photos, rng = PhotoSet(options.photos_of_people), np.random.default_rng(options.seed)
    config = RecogniserConfig(options.detector, options.embedder, (options.weights,), device="cpu", runners=1)
    async with open_recogniser(config) as recogniser:
        if options.ratio:
            await ratios(photos, recogniser, options.photos, rng)
            return
        by_person: dict[str, list[str]] = defaultdict(list)
        for name in rng.permutation(photos.names).tolist():
            by_person[photos.person_of(name)].append(name)
        several = set(await crowded(photos, recogniser))
        groups = [group[:MOST_TOGETHER] for group in by_person.values() if len(group) > 1]
        one_each = [group[0] for group in by_person.values()]
        many = [name for group in groups for name in group]
        crowd_of = [[name for name in group if name in several] for group in by_person.values()]
        crowd_each = [group[0] for group in crowd_of if group]
        beside: tuple[float, float] = tuple(options.beside)
        alone = [name for name in photos.names if name not in several]
        rows = {
            "as they are, one alone": (one_each, None),
            "as they are, up to five together": (many, None),
            "several faces found, one alone": (crowd_each, None),
            "composed, one alone": ([name for name in one_each if name not in several], beside),
            "composed, up to five together": ([name for name in many if name not in several], beside),
        }
        with tempfile.TemporaryDirectory() as scratch:
            for number, (row, (names, scales)) in enumerate(rows.items()):
                if not row.startswith(options.only):
                    continue
                press = written(photos, names[: options.photos], alone, Path(scratch) / str(number), scales, rng)
                ends = await enrolled(together(press), recogniser, Path(scratch) / f"{number}.db")
                told = ", ".join(f"{end} {count}" for end, count in sorted(ends.items()))
                print(f"{row}: {ends.total()} photos: {told}", flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos_of_people", type=Path)
    parser.add_argument("--weights", type=Path, default=Path("../shared/models"))
    parser.add_argument("--detector", default="scrfd_500m")
    parser.add_argument("--embedder", default="arcface_w600k_mbf")
    parser.add_argument("--photos", type=int, default=300, help="how many of each kind")
    parser.add_argument("--beside", type=float, nargs=2, default=(0.3, 0.65), help="of the size of the person's photo")
    parser.add_argument("--only", default="", help="the rows that begin so")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ratio", action="store_true")
    asyncio.run(measured(parser.parse_args()))


if __name__ == "__main__":
    main()
