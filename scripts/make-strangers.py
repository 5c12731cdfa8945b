#!/usr/bin/env python
"""Portraits of nobody: a zip of Name/photo.jpg in, a few composites, each blended from many people, out.

    .venv/bin/python scripts/make-strangers.py LFW_TRAIN_ZIP --models WEIGHTS_FOLDER --check arcface_w600k_mbf

wrote model/faces/stranger_*.jpg. Draws no random numbers: the same photos and weights give the same pictures.
Blocks for minutes: it looks at every photo of the zip, first to choose, then to tell how near a blend comes.

Who looks alike is blended: a group is one face and those nearest to it in colour, hair and light, so that the
outcome is a face and no grey mush. Faces are laid on one another by their landmarks, then by dense optical flow
towards their mean, and the mean is taken in linear light.
"""

import argparse
import asyncio
import itertools
import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from recognition.align import ARCFACE_TEMPLATE, similarity_transforms
from recognition.arrays import F32, U8
from recognition.image import ArrayImage, decode_image, read_image
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser

# Both under licences without a field-of-use limit (Apache-2.0, MIT).
DETECTOR, EMBEDDER = "yunet_n", "mobileface_v2"
SIDE = 256
# The face's five points in a composite: room for hair, chin and shoulders.
_EYES_APART_PX, _MIDDLE = 54.0, (128.0, 132.0)
TEMPLATE: F32 = (
    (ARCFACE_TEMPLATE - (56.0, 62.0)) * _EYES_APART_PX / (ARCFACE_TEMPLATE[1, 0] - ARCFACE_TEMPLATE[0, 0]) + _MIDDLE
).astype(np.float32)
_GAMMA = 2.2
MOST_GROUPS = 20
MOST_LIKE_ANYBODY = 0.5  # the embedder's 1:N threshold is .519
_ROUNDS = 6
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """The face of a photo that is nearest to its middle. landmarks (5,2) px; embedding (d,) unit vector."""

    name: str
    landmarks: F32
    embedding: F32
    quality: float
    yaw: float
    pitch: float

    @property
    def person(self) -> str:
        return self.name.split("/")[-2]


def main() -> None:
    wanted = argparse.ArgumentParser(description="Blend portraits of nobody from photos of many people.")
    wanted.add_argument("photos", type=Path, help="a zip with one folder of JPEG photos per person")
    wanted.add_argument("--models", type=Path, required=True, help=f"where the weights of {DETECTOR} and others lie")
    wanted.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "model" / "faces")
    wanted.add_argument("--strangers", type=int, default=5)
    wanted.add_argument("--people", type=int, default=24, help="how many people are blended into one")
    wanted.add_argument("--check", nargs="*", default=[], help="further embedders to measure nearness with")
    asked = wanted.parse_args()
    cv2.setNumThreads(1)  # optical flow cuts the picture into one strip for each thread
    with zipfile.ZipFile(asked.photos) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
        photos = asyncio.run(look(archive, names, asked.models, EMBEDDER))
        frontal = usable(photos)
        tell(f"{len(names)} photos, {len(photos)} with a face; {len(frontal)} people look into the camera")
        chips = np.stack([chip(archive, photo) for photo in frontal])
        embeddings = np.stack([photo.embedding for photo in frontal])
        groups = groups_of(chips, embeddings, asked.people)
        blends = [portrait(chips[group]) for group in groups]
        known = [file for file in asked.out.glob("*.jpg") if not file.stem.startswith("stranger_")]
        everybody = np.stack([photo.embedding for photo in photos])
        kept = asyncio.run(unlike(blends, everybody, known, asked.strangers, asked.models))
        strangers, sources = [blends[k] for k in kept], [{frontal[n].person for n in groups[k]} for k in kept]
        for number, (picture, people) in enumerate(zip(strangers, sources, strict=True), 1):
            encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
            (asked.out / f"stranger_{number}.jpg").write_bytes(encoded)
            tell(f"stranger_{number}.jpg: {len(encoded)} bytes, blended from {len(people)} people")
        asyncio.run(write_index(asked.out, sorted(asked.out.glob("*.jpg")), asked.models))
        for embedder in (EMBEDDER, *asked.check):
            seen = photos if embedder == EMBEDDER else asyncio.run(look(archive, names, asked.models, embedder))
            asyncio.run(nearness(strangers, sources, seen, asked.models, embedder))


async def look(archive: zipfile.ZipFile, names: Sequence[str], models: Path, embedder: str) -> list[Photo]:
    """Every photo that shows a face, in the order of their names."""
    async with open_recogniser(RecogniserConfig(DETECTOR, embedder, (models,))) as recogniser:
        photos: list[Photo | None] = []
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            images = [decode_image(archive.read(name), name) for name in some]
            photos += await asyncio.gather(*(_face(recogniser, *both) for both in zip(some, images, strict=True)))
            if start % 1000 == 0:
                tell(f"{embedder}: {start} of {len(names)} photos")
    return [photo for photo in photos if photo]


async def _face(recogniser: Recogniser, name: str, image: ArrayImage) -> Photo | None:
    faces = await recogniser.faces(image)
    if not len(faces):
        return None
    middles = (faces.detections.boxes[:, :2] + faces.detections.boxes[:, 2:]) / 2
    k = int(np.abs(middles - (image.width / 2, image.height / 2)).sum(axis=1).argmin())
    quality, landmarks = faces.quality, faces.detections.landmarks[k]
    numbers = (float(part[k]) for part in (quality.score, quality.yaw, quality.pitch))
    return Photo(name, landmarks, faces.embeddings[k], *numbers)


def usable(photos: Sequence[Photo]) -> list[Photo]:
    """The first photo of each person, where it is sharp and from the front."""
    firsts = {photo.person: photo for photo in reversed(photos)}.values()
    level = float(np.median([photo.pitch for photo in firsts]))
    return sorted(
        (p for p in firsts if p.quality > 0.75 and abs(p.yaw) < 9 and abs(p.pitch - level) < 12),
        key=lambda photo: photo.name,
    )


def chip(archive: zipfile.ZipFile, photo: Photo) -> U8:
    """The whole head, upright, its five points near the template's: (SIDE,SIDE,3) BGR."""
    (transform,) = similarity_transforms(photo.landmarks[None], TEMPLATE)
    pixels = decode_image(archive.read(photo.name), photo.name).bgr()
    head = cv2.warpAffine(pixels, transform, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(head, dtype=np.uint8)


def groups_of(chips: U8, embeddings: F32, people: int) -> list[NDArray[np.intp]]:
    """Groups of `people` faces, each alike within, and unlike among one another: at most MOST_GROUPS.

    Alike: in blurred colour where the head is, and to the embedder. The first group is the tightest there is, each
    further one the best of being tight and far from those before; few faces are in two.
    """
    looks = appearance(chips)
    apart = ((looks[:, None] - looks[None]) ** 2).sum(axis=2)
    strange = 1 - embeddings @ embeddings.T
    distance = apart / np.median(apart) + strange / np.median(strange)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :people]
    tight = np.take_along_axis(distance, nearest, axis=1).mean(axis=1)
    middles = embeddings[nearest].mean(axis=1) - embeddings.mean(axis=0)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    fit = np.flatnonzero(tight < np.quantile(tight, 0.6))
    chosen = [int(fit[tight[fit].argmin()])]
    while len(chosen) < MOST_GROUPS:
        shared = [max(len(set(nearest[k]) & set(nearest[j])) for j in chosen) for k in fit]
        fresh = fit[np.array(shared) <= people // 3]
        if not len(fresh):
            break
        alike = (middles[fresh] @ middles[chosen].T).max(axis=1)
        chosen.append(int(fresh[(alike + 0.5 * tight[fresh] / np.median(tight)).argmin()]))
    return [nearest[k] for k in chosen]


def appearance(chips: U8) -> F32:
    """(n,40): the principal components of each head's blurred Lab colours; clothes and background weigh little."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    head = np.exp(-(((x - 128) / 72) ** 4) - ((y - 122) / 100) ** 4).astype(np.float32)
    weight = cv2.resize(head, (24, 24), interpolation=cv2.INTER_AREA)[..., None]
    rows = []
    for pixels in chips:
        lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2Lab) / (100.0, 40.0, 40.0)
        small = cv2.resize(cv2.GaussianBlur(lab, (0, 0), 4), (24, 24), interpolation=cv2.INTER_AREA)
        rows.append((small * weight).ravel())
    centred = np.stack(rows) - np.mean(rows, axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return np.asarray(centred @ axes[:40].T, dtype=np.float32)


def portrait(chips: U8) -> U8:
    """Aligned heads (n,SIDE,SIDE,3) -> one head of nobody, on a soft backdrop."""
    light = linear(chips)
    skin = light[:, 100:170, 90:166].mean(axis=(1, 2), keepdims=True)
    light *= (skin.mean(axis=0) / skin) ** 0.8  # so that light and camera tint differ less
    blended = display(registered_mean(light))
    sharp = blended + 0.8 * (blended - cv2.GaussianBlur(blended, (0, 0), 2.0))
    return np.clip(on_backdrop(sharp), 0, 255).round().astype(np.uint8)


def registered_mean(light: F32) -> F32:
    """The mean (SIDE,SIDE,3) of n faces, each bent onto it; linear light in and out.

    The flows' own mean is taken off in every round, so that the outcome has the group's shape and nobody's.
    """
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    places = np.mgrid[0:SIDE, 0:SIDE][::-1].transpose(1, 2, 0).astype(np.float32)
    greys = [_grey(face) for face in light]
    mean = light.mean(axis=0)
    for number in range(_ROUNDS):
        smooth_px = 9 if number < _ROUNDS / 2 else 5
        towards = _grey(mean)
        flows = np.stack([cv2.GaussianBlur(search.calc(towards, grey, None), (0, 0), smooth_px) for grey in greys])
        flows -= flows.mean(axis=0)
        bent = [
            cv2.remap(face, places + flow, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
            for face, flow in zip(light, flows, strict=True)
        ]
        mean = np.mean(bent, axis=0)
    return np.asarray(mean, dtype=np.float32)


def on_backdrop(picture: F32) -> F32:
    """Head and shoulders as they are; around them, where a blend shows only ghosts, a plain blurred wall."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    head = ((x - 128) / 92) ** 2 + ((y - 118) / 112) ** 2
    shoulders = ((x - 128) / 132) ** 2 + ((y - 262) / 62) ** 2
    inside = np.clip((1.15 - np.minimum(head, shoulders)) / 0.4, 0, 1)[..., None]
    inside = inside * inside * (3 - 2 * inside)
    edge = np.concatenate((picture[:90, :24].reshape(-1, 3), picture[:90, -24:].reshape(-1, 3)))
    wall = 0.35 * cv2.GaussianBlur(picture, (0, 0), 24) + 0.65 * edge.mean(axis=0)
    return np.asarray(inside * picture + (1 - inside) * wall, dtype=np.float32)


def linear(pixels: U8) -> F32:
    return np.asarray((pixels.astype(np.float32) / 255) ** _GAMMA, dtype=np.float32)


def display(light: F32) -> F32:
    """0..255, as a screen wants it."""
    return np.asarray(np.clip(light, 0, 1) ** (1 / _GAMMA) * 255, dtype=np.float32)


def _grey(light: F32) -> U8:
    grey = cv2.cvtColor(display(light).astype(np.uint8), cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.createCLAHE(2.0, (4, 4)).apply(grey), dtype=np.uint8)


async def unlike(blends: Sequence[U8], everybody: F32, known: Sequence[Path], count: int, models: Path) -> list[int]:
    """Those `count` of the blends that come least near to one another and to the photos of known people.

    everybody: the embeddings (n,d) of all photos; a blend that is too near to any of them is not taken.
    """
    async with open_recogniser(RecogniserConfig(DETECTOR, EMBEDDER, (models,))) as recogniser:
        faces = [await recogniser.faces(ArrayImage(blend)) for blend in blends]
        people = [(await recogniser.faces(read_image(file))).embeddings[0] for file in known]
    fit = [
        k
        for k, found in enumerate(faces)
        if len(found) == 1 and float((everybody @ found.embeddings[0]).max()) < MOST_LIKE_ANYBODY
    ]
    embeddings = np.stack([*(faces[k].embeddings[0] for k in fit), *people])
    cosines = embeddings @ embeddings.T
    others = tuple(range(len(fit), len(embeddings)))

    def nearness(some: tuple[int, ...]) -> float:
        rows = some + others
        pairs = cosines[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]
        return float(pairs.max() + pairs.mean())

    best = min(itertools.combinations(range(len(fit)), count), key=nearness)
    return [fit[k] for k in best]


async def write_index(folder: Path, files: Sequence[Path], models: Path) -> None:
    """faces.yaml: who each picture of the folder shows, and where the face is; strangers have no name."""
    rows = []
    async with open_recogniser(RecogniserConfig(DETECTOR, EMBEDDER, (models,))) as recogniser:
        for file in files:
            found = (await recogniser.detect(read_image(file), "index")).detections
            name = None if file.stem.startswith("stranger_") else file.stem.replace("_", " ").title()
            box, landmarks = found.boxes[0].round(1).tolist(), found.landmarks[0].round(1).tolist()
            rows.append({"file": file.name, "name": name, "box": box, "landmarks": landmarks})
    heading = "# Written by scripts/make-strangers.py: box xyxy and five landmarks in px, as YuNet finds them.\n"
    rounded = json.loads(json.dumps(rows), parse_float=lambda text: round(float(text), 1))
    text = yaml.safe_dump(rounded, sort_keys=False, default_flow_style=None, width=120)
    (folder / "faces.yaml").write_text(heading + text, encoding="utf-8")


async def nearness(
    strangers: Sequence[U8], sources: Sequence[set[str]], photos: Sequence[Photo], models: Path, embedder: str
) -> None:
    """Say how near each stranger comes to any photo, to those of its own people, and to the other strangers."""
    async with open_recogniser(RecogniserConfig(DETECTOR, embedder, (models,))) as recogniser:
        found = [await recogniser.faces(ArrayImage(picture)) for picture in strangers]
        threshold = recogniser.embedder.spec.identification_threshold
    embeddings = np.concatenate([faces.embeddings[:1] for faces in found])
    cosines = embeddings @ np.stack([photo.embedding for photo in photos]).T
    among = embeddings @ embeddings.T - 2 * np.eye(len(embeddings))
    for number, (row, people) in enumerate(zip(cosines, sources, strict=True)):
        own = np.array([photo.person in people for photo in photos])
        tell(
            f"{embedder} (known from {threshold}): stranger_{number + 1} has {len(found[number])} face; cosine at most "
            f"{row[own].max():.3f} to its own people, {row[~own].max():.3f} to anybody else, "
            f"{among[number].max():.3f} to another stranger"
        )


def tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
