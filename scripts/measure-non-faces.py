#!/usr/bin/env python
"""What is no upright face: how much of it gets a template, how much a name; a table in Markdown on stdout.

    python scripts/measure-non-faces.py --faces lfw_dev.zip --models FOLDER --detector scrfd_500m \\
        --embedder edgeface_xxs --embedder arcface_w600k_mbf --clip CLIP_WITHOUT_FACES \\
        --drawings FOLDER [FOLDER ...] --textures FOLDER [FOLDER ...]

Everybody in the photos is enrolled with the first one; the gallery is the same for all rows. A probe is one picture:
first as a camera's frame (one pass, a second where a face may fill the picture, a second look), where a template is
what would be embedded; then as a photo for `enrol --pick largest`. Names are by the spec's threshold.
Where folders are wanted, files may stand too. Blocks for minutes.
"""

import argparse
import asyncio
import hashlib
import itertools
import random
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from gallery.enrolment.enrol import Gate
from gallery.enrolment.quality_gate import standing
from gallery.errors import PhotoRefused
from gallery.matching.decide import Candidates, decide
from recognition.image import ArrayImage
from recognition.photos import PhotoSet
from recognition.recogniser import Found, Recogniser, RecogniserConfig, open_recogniser
from recognition.specs.spec import EmbedderSpec
from streamer.settings_reading import load

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
AT_ONCE = 4
SETTINGS = load(environ={})
GATE = Gate(SETTINGS.gallery.enrol.min_face_px, SETTINGS.gallery.enrol.min_quality)
Probe = tuple[str, np.ndarray]  # whom it shows ("" for nobody), BGR


def turned(bgr: np.ndarray, degrees: int) -> np.ndarray:
    """Clockwise; what comes into the picture repeats its edges."""
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(bgr, -degrees // 90))
    high, wide = bgr.shape[:2]
    matrix = cv2.getRotationMatrix2D(((wide - 1) / 2, (high - 1) / 2), -degrees, 1.0)
    return cv2.warpAffine(bgr, matrix, (wide, high), borderMode=cv2.BORDER_REPLICATE)


def scrambled(bgr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The middle 128x128 pixels of a photo of LFW, its face, in 8x8 blocks, shuffled; four times as large."""
    top, left = (bgr.shape[0] - 128) // 2, (bgr.shape[1] - 128) // 2
    out = np.empty((128, 128, 3), np.uint8)
    for to, source in enumerate(rng.permutation(64)):
        (y, x), (v, u) = ((16 * place for place in divmod(int(number), 8)) for number in (to, source))
        out[y : y + 16, x : x + 16] = bgr[top + v : top + v + 16, left + u : left + u + 16]
    return cv2.resize(out, (512, 512), interpolation=cv2.INTER_CUBIC)


def files_of(folders: Sequence[Path], count: int) -> list[Path]:
    """So many pictures, the same ones each time."""
    given = [file for folder in folders for file in (folder.rglob("*") if folder.is_dir() else [folder])]
    found = [file for file in given if file.suffix.lower() in PICTURES]
    found.sort(key=lambda file: hashlib.sha256(file.name.encode()).digest())
    return found[:count]


def on_white(file: Path) -> np.ndarray | None:
    raw = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if raw is None or min(raw.shape[:2]) < 48:
        return None
    if raw.dtype == np.uint16:
        raw = (raw >> 8).astype(np.uint8)
    if raw.ndim == 2:
        return cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR)
    if raw.shape[2] == 4:
        share = raw[:, :, 3:].astype(np.float32) / 255
        raw = (raw[:, :, :3] * share + 255 * (1 - share)).astype(np.uint8)
    return np.ascontiguousarray(raw[:, :, :3])


def clip_crops(clip: Path, count: int) -> Iterator[Probe]:
    rng = np.random.default_rng(3)
    with av.open(str(clip)) as container:
        frames = [f.to_ndarray(format="bgr24") for n, f in enumerate(container.decode(video=0)) if n % 14 == 0]
    for _ in range(count):
        frame = frames[rng.integers(len(frames))]
        high, wide = frame.shape[:2]
        side = int(np.exp(rng.uniform(np.log(48), np.log(high))))
        y, x = rng.integers(high - side + 1), rng.integers(wide - side + 1)
        yield "", np.ascontiguousarray(frame[y : y + side, x : x + side])


def textures(folders: Sequence[Path], count: int) -> Iterator[Probe]:
    """Squares cut out of pictures, small tiles laid side by side, at 300x300."""
    rng = np.random.default_rng(50)
    pictures = [picture for file in files_of(folders, 2 * count) if (picture := on_white(file)) is not None]
    for number in range(count):
        picture = pictures[number % len(pictures)]
        if max(picture.shape[:2]) < 128:
            picture = np.tile(picture, (3, 3, 1))
        side = int(rng.integers(40, min(picture.shape[:2]) + 1))
        y, x = (rng.integers(edge - side + 1) for edge in picture.shape[:2])
        yield "", cv2.resize(picture[y : y + side, x : x + side], (300, 300), interpolation=cv2.INTER_CUBIC)


def drawings(folders: Sequence[Path], count: int) -> Iterator[Probe]:
    pictures = (on_white(file) for file in files_of(folders, 2 * count))
    for _, picture in zip(range(count), (p for p in pictures if p is not None), strict=False):
        shrink = min(1.0, 1000 / max(picture.shape[:2]))
        yield "", cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)


@dataclass(slots=True)
class Row:
    """Probes of one kind: how many were found, given a template; named rightly and wrongly, by embedder."""

    probes: int = 0
    found: int = 0
    templates: int = 0
    right: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    right_before: dict[str, int] = field(default_factory=dict)  # without second look and roll

    def count(self, column: dict[str, int], embedder: str) -> None:
        column[embedder] = column.get(embedder, 0) + 1


class Bench:
    def __init__(self, recogniser: Recogniser) -> None:
        self.recogniser = recogniser
        self.people: list[str] = []
        self.matrices: dict[str, np.ndarray] = {}

    async def enrol(self, photos: Sequence[Probe]) -> None:
        templates: list[tuple[str, dict[str, np.ndarray]]] = []

        async def one(probe: Probe) -> None:
            image = ArrayImage(probe[1])
            landmarks = await self.accepted(image)
            if landmarks is not None:
                templates.append((probe[0], await self.embedded(image, landmarks)))

        await each(photos, one)
        self.people = [name for name, _ in templates]
        self.matrices = {model: np.stack([rows[model] for _, rows in templates]) for model in templates[0][1]}

    async def accepted(self, image: ArrayImage) -> np.ndarray | None:
        """The landmarks of the face that would be enrolled."""
        try:
            found = standing(await self.recogniser.detect(image, "photo"))
        except PhotoRefused:
            return None
        if not len(found.detections):
            return None
        boxes, quality = found.detections.boxes, found.quality
        largest = int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
        good = quality.size_px[largest] >= GATE.min_face_px and quality.score[largest] >= GATE.min_quality
        return found.detections.landmarks[largest] if good else None

    async def embedded(self, image: ArrayImage, landmarks: np.ndarray) -> dict[str, np.ndarray]:
        seen = await self.recogniser.in_every_space(image, landmarks[None])
        return {one.model: one.embeddings[0] for one in seen}

    async def seen(self, image: ArrayImage) -> Found:
        found = await self.recogniser.glance(image, "live")
        if found.close_up != "none":
            found = await self.recogniser.close_up(image, found, "live")
        return found

    async def photo(self, probe: Probe, row: Row) -> None:
        """As a photo to enrol."""
        name, image = probe[0], ArrayImage(probe[1])
        landmarks = await self.accepted(image)
        row.probes += 1
        if landmarks is None:
            return
        row.templates += 1
        for model, embedding in (await self.embedded(image, landmarks)).items():
            named = self.named(model, embedding)
            if named is not None:
                row.count(row.right if named == name else row.wrong, model)

    async def frame(self, probe: Probe, row: Row) -> None:
        """As a camera's picture."""
        name, image = probe[0], ArrayImage(probe[1])
        found = await self.seen(image)
        row.probes += 1
        if not len(found.detections):
            return
        row.found += 1
        rules = SETTINGS.recognition
        big = found.quality.size_px >= rules.min_face_px
        before = big & (found.quality.score >= rules.min_quality)
        looked = await self.recogniser.look(image, found.detections, "live")
        after = before & (looked.turn == 0)
        row.templates += bool(after.any())
        for face in np.flatnonzero(before):
            for column, landmarks in ((row.right_before, found.detections.landmarks), (row.right, looked.landmarks)):
                if column is row.right and not after[face]:
                    continue
                for model, embedding in (await self.embedded(image, landmarks[face])).items():
                    named = self.named(model, embedding)
                    if named is not None and named == name:
                        row.count(column, model)
                    elif named is not None and column is row.right:
                        row.count(row.wrong, model)

    def named(self, model: str, embedding: np.ndarray) -> str | None:
        cosines = self.matrices[model] @ embedding
        best = np.argsort(-cosines)[: SETTINGS.gallery.top_k]
        near = {self.people[n]: float(cosines[n]) for n in best}
        spec = self.recogniser.manager.spec_of(model, EmbedderSpec)
        match = decide([Candidates(near)], spec.identification_threshold, SETTINGS.gallery.margin)
        return match.person_id


async def each(items: Sequence[Probe] | Iterator[Probe], work: Callable[[Probe], Awaitable[None]]) -> None:
    remaining = iter(items)

    async def walk() -> None:
        for item in remaining:
            await work(item)

    async with asyncio.TaskGroup() as tasks:
        for number in range(AT_ONCE):
            tasks.create_task(walk(), name=f"probe {number}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--models", type=Path, action="append", default=[])
    parser.add_argument("--detector", required=True)
    parser.add_argument("--embedder", action="append", required=True)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--drawings", type=Path, nargs="*", default=[])
    parser.add_argument("--textures", type=Path, nargs="*", default=[])
    parser.add_argument("--people", type=int, default=10**9)
    parser.add_argument("--turned", type=int, default=1000)
    parser.add_argument("--given", type=int, default=200, help="how many of each kind as photos to enrol")
    parser.add_argument("--degrees", type=int, nargs="*", default=[45, 90, 135, 180])
    options = parser.parse_args()
    photos = PhotoSet(options.faces)
    by_person: dict[str, list[str]] = {}
    for file in photos.names:
        by_person.setdefault(photos.person_of(file), []).append(file)
    chosen = dict(list(by_person.items())[: options.people])
    enrolled = [(name, photos.read(files[0]).bgr()) for name, files in chosen.items()]
    others = [(name, file) for name, files in chosen.items() for file in files[1:]]
    shuffled = [(name, file) for name, files in chosen.items() for file in files]
    random.Random(1).shuffle(shuffled)

    def upright() -> Iterator[Probe]:
        return ((n, photos.read(f).bgr()) for n, f in others)

    def scrambles() -> Iterator[Probe]:
        rng = np.random.default_rng(1)
        return (("", scrambled(photos.read(f).bgr(), rng)) for _, f in shuffled[:200])

    def turned_by(degrees: int) -> Iterator[Probe]:
        return ((n, turned(photos.read(f).bgr(), degrees)) for n, f in shuffled[: options.turned])

    kinds: list[tuple[str, Iterator[Probe], Iterator[Probe]]] = [
        ("upright, another photo", upright(), itertools.islice(upright(), options.given))
    ]
    for degrees in options.degrees:
        kinds.append((f"turned by {degrees}°", turned_by(degrees), itertools.islice(turned_by(degrees), options.given)))
    nobody: dict[str, Callable[[], Iterator[Probe]]] = {"scrambled faces": scrambles}
    if options.clip:
        nobody["crops of the clip"] = partial(clip_crops, options.clip, 400)
    if options.textures:
        nobody["textures"] = partial(textures, options.textures, 200)
    if options.drawings:
        nobody["drawings, statues"] = partial(drawings, options.drawings, 200)
    kinds += [(kind, probes(), itertools.islice(probes(), options.given)) for kind, probes in nobody.items()]
    first, *rest = options.embedder
    config = RecogniserConfig(options.detector, first, tuple(options.models), in_every_space=tuple(rest), device="cpu")
    async with open_recogniser(replace(config, queue_limit=64)) as recogniser:
        bench = Bench(recogniser)
        await bench.enrol(enrolled)
        say(f"{options.detector}: {len(bench.people)} of {len(enrolled)} people enrolled")
        say("| seen by a camera | probes | found | templates | rightly named, no look | rightly named | wrongly |")
        say("|---|---|---|---|---|---|---|")
        for kind, frames, _ in kinds:
            row = Row()
            await each(frames, partial(bench.frame, row=row))
            names = by_embedder(bench, row.right_before, row.right, row.wrong)
            say(f"| {kind} | {row.probes} | {row.found} | {row.templates} | {names} |")
        say("\n| given as a photo | photos | taken | the right person | a wrong one |\n|---|---|---|---|---|")
        for kind, _, given in kinds:
            row = Row()
            await each(given, partial(bench.photo, row=row))
            say(f"| {kind} | {row.probes} | {row.templates} | {by_embedder(bench, row.right, row.wrong)} |")


def by_embedder(bench: Bench, *columns: dict[str, int]) -> str:
    return " | ".join(" / ".join(str(column.get(model, 0)) for model in bench.matrices) for column in columns)


if __name__ == "__main__":
    asyncio.run(main())
