#!/usr/bin/env python3
"""How many photos of a person are worth keeping, and what is nearly the same: docs/accuracy.md has the tables.

    python scripts/measure-kept-photos.py lfw_train.zip --clip people.mp4

Photos of a ZIP with a folder a person go in. Of each person with 30 photos and more a third are probes, the best of the
others are kept up to so many; a probe counts as found at the cosine that one stranger in 10,000 reaches.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from pathlib import Path

import av
import numpy as np

from recognition.arrays import F32
from recognition.image import ArrayImage, Image
from recognition.photos import PhotoSet, central_face
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser

KEPT = (1, 3, 5, 10, 15, 20, 25, 1000)
LEAST_PHOTOS, STRANGERS = 30, 4000
LAGS_S = (0.2, 0.4, 1.0, 2.0)
FPS = 5.0


async def embedded(recogniser: Recogniser, image: Image) -> tuple[float, F32] | None:
    """Quality and embedding of the face that a photo is of, where it could be enrolled."""
    found = await recogniser.detect(image, "photo")
    landmarks = central_face(found.detections, image)
    good = np.flatnonzero((found.quality.turn == 0) & (found.quality.score >= 0.25))
    which = [row for row in good if len(landmarks) and (found.detections.landmarks[row] == landmarks[0]).all()]
    if not which:
        return None
    vectors = (await recogniser.embed(image, landmarks, "photo")).embeddings
    return float(found.quality.score[which[0]]), vectors[0]


async def by_person(recogniser: Recogniser, photos: PhotoSet) -> dict[str, list[tuple[float, F32]]]:
    files: dict[str, list[str]] = defaultdict(list)
    for name in photos.names:
        files[photos.person_of(name)].append(name)
    few = [person for person, names in files.items() if len(names) < LEAST_PHOTOS]
    strangers = np.random.default_rng(0).permutation([name for person in few for name in files[person]])[:STRANGERS]
    wanted = {*strangers, *(name for names in files.values() if len(names) >= LEAST_PHOTOS for name in names)}
    faces: dict[str, list[tuple[float, F32]]] = defaultdict(list)
    for name in sorted(wanted):
        face = await embedded(recogniser, photos.read(name))
        if face is not None:
            faces[photos.person_of(name)].append(face)
    return faces


def show_kept(faces: dict[str, list[tuple[float, F32]]]) -> None:
    many = {person: each for person, each in faces.items() if len(each) >= LEAST_PHOTOS}
    strangers = np.stack([face for person, each in faces.items() if person not in many for _, face in each])
    say(f"{len(many)} people of {LEAST_PHOTOS} photos and more, {len(strangers)} photos of strangers")
    for most in KEPT:
        genuine, impostor = [], []
        for number, each in enumerate(many.values()):
            order = np.random.default_rng(number).permutation(len(each))
            probes = np.stack([each[row][1] for row in order[: len(each) // 3]])
            others = sorted((each[row] for row in order[len(each) // 3 :]), key=lambda one: -one[0])
            kept = np.stack([face for _, face in others[:most]])
            genuine.append((probes @ kept.T).max(axis=1))
            impostor.append((strangers @ kept.T).max(axis=1))
        threshold = np.quantile(np.concatenate(impostor), 1 - 1e-4)
        missed = np.mean([(one < threshold).mean() for one in genuine])
        say(f"{most:5} kept: {missed:.1%} are not found")


def show_alike(faces: dict[str, list[tuple[float, F32]]]) -> None:
    pairs = []
    for each in faces.values():
        vectors = np.stack([face for _, face in each])
        pairs.append((vectors @ vectors.T)[np.triu_indices(len(each), 1)])
    cosines = np.concatenate(pairs)
    told = ", ".join(f"{(cosines > at).mean():.2%} above {at}" for at in (0.85, 0.9, 0.95))
    say(f"{len(cosines)} pairs of photos of one person: {told}")


async def show_clip(recogniser: Recogniser, clip: Path) -> None:
    times, vectors = [], []
    with av.open(str(clip)) as container:
        due_s = 0.0
        for frame in container.decode(container.streams.video[0]):
            if frame.time is None or frame.time < due_s:
                continue
            due_s = frame.time + 1 / FPS
            face = await embedded(recogniser, ArrayImage(np.ascontiguousarray(frame.to_ndarray(format="bgr24"))))
            if face is not None:
                times.append(frame.time)
                vectors.append(face[1])
    cosines, apart = np.stack(vectors) @ np.stack(vectors).T, np.abs(np.subtract.outer(times, times))
    for lag in LAGS_S:
        # Below .5 it is another person's face.
        near = cosines[np.triu(np.abs(apart - lag) < 0.05) & (cosines > 0.5)]
        if len(near):
            say(f"{lag} s apart, {len(near)} pairs: quartiles {np.quantile(near, [0.25, 0.5, 0.75]).round(2)}")


async def measure(options: argparse.Namespace) -> None:
    config = RecogniserConfig(options.detector, options.embedder, (Path("model/artifacts"), options.models))
    async with open_recogniser(config) as recogniser:
        if options.clip is not None:
            await show_clip(recogniser, options.clip)
        faces = await by_person(recogniser, PhotoSet(options.photos))
        show_kept(faces)
        show_alike(faces)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("photos", type=Path, help="a ZIP or folder with a folder a person")
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--detector", default="nano_det")
    parser.add_argument("--embedder", default="nano_embed")
    parser.add_argument("--models", type=Path, default=Path("../shared/models"))
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
