#!/usr/bin/env python
"""How often a face of each size is found, and found once; a table in Markdown on stdout.

    python scripts/measure-face-sizes.py --faces lfw_dev.zip --models FOLDER --detector scrfd_500m

A photo's face is enlarged or shrunk to so many per cent of the picture's height: up to 80 % anywhere in the picture,
from there on in its middle, cut off by its edges above 100 %. Once: nothing else is found on it. As a camera's frame
(one pass, a second where Found.close_up asks for it) and as a photo. Blocks for minutes.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import cv2
import numpy as np

from recognition.faces import iou
from recognition.image import ArrayImage
from recognition.photos import PhotoSet, nearest_to_centre
from recognition.recogniser import Found, Recogniser, RecogniserConfig, open_recogniser

SHARES = (5, 7, 10, 20, 40, 60, 75, 90, 100, 115, 130)
SHAPES = ("1280x720", "640x480", "800x800", "600x800")
LEAST_OVERLAP = 0.4


def scene(
    photo: np.ndarray, box: np.ndarray, share: float, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The picture, and where in it the face is."""
    wide, high = size
    scale = share * high / (box[3] - box[1])
    middle = np.array((wide / 2, high / 2))
    if share <= 0.8:
        free = (1 - share) / 2 - 0.02
        middle += np.array((rng.uniform(-0.2, 0.2) * wide, rng.uniform(-free, free) * high))
    shift = middle - scale * (box[:2] + box[2:]) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    how = cv2.INTER_CUBIC
    if scale < 0.5:
        photo = cv2.resize(photo, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        matrix[:, :2] = np.eye(2) / 2
    picture = cv2.warpAffine(photo, matrix, size, flags=how, borderValue=(90, 90, 90))
    return picture, np.clip((box.reshape(2, 2) * scale + shift).ravel(), 0, (wide, high, wide, high)).astype(np.float32)


def once(found: Found, box: np.ndarray, size: tuple[int, int]) -> tuple[bool, bool]:
    """Whether the face was found, and whether nothing else was found on it."""
    edge = np.array((*size, *size), np.float32)
    boxes = np.clip(found.detections.boxes, 0, edge)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    there = bool((iou(boxes, box[None]) >= LEAST_OVERLAP).any())
    on_it = int(((middles > box[:2]) & (middles < box[2:])).all(axis=1).sum())
    return there, there and on_it == 1


async def row(
    recogniser: Recogniser, faces: list[tuple[np.ndarray, np.ndarray]], share: float, size: tuple[int, int]
) -> list[str]:
    rng = np.random.default_rng(5)
    seen: list[tuple[bool, bool]] = []
    given: list[tuple[bool, bool]] = []
    for photo, box in faces:
        picture, where = scene(photo, box, share, size, rng)
        image = ArrayImage(picture)
        found = await recogniser.glance(image, "live")
        if found.close_up != "none":
            found = await recogniser.close_up(image, found, "live")
        seen.append(once(found, where, size))
        given.append(once(await recogniser.detect(image, "photo"), where, size))
    return [f"{100 * np.mean(column):.0f}" for results in (seen, given) for column in zip(*results, strict=True)]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--models", type=Path, action="append", default=[])
    parser.add_argument("--detector", required=True)
    parser.add_argument("--embedder", default="nano_embed")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--shares", type=int, nargs="+", default=SHARES)
    parser.add_argument("--pictures", nargs="+", default=SHAPES, metavar="WIDTHxHEIGHT")
    options = parser.parse_args()
    photos = PhotoSet(options.faces)
    config = RecogniserConfig(options.detector, options.embedder, tuple(options.models), device="cpu")
    async with open_recogniser(config) as recogniser:
        faces: list[tuple[np.ndarray, np.ndarray]] = []
        for name in photos.names[:: max(1, len(photos.names) // options.count)][: options.count]:
            image = photos.read(name)
            found = (await recogniser.detect(image, "photo")).detections
            which = nearest_to_centre(found, image)
            if which is not None:
                faces.append((image.bgr(), found.boxes[which]))
        say(f"{options.detector}, {len(faces)} faces")
        for picture in options.pictures:
            width, _, height = picture.partition("x")
            size = int(width), int(height)
            say(f"\n| {size[0]}x{size[1]}: % of its height | camera: found, % | once, % | photo: found, % | once, % |")
            say("|---|---|---|---|---|")
            for share in options.shares:
                say(f"| {share} | {' | '.join(await row(recogniser, faces, share / 100, size))} |")


if __name__ == "__main__":
    asyncio.run(main())
