#!/usr/bin/env python3
"""Faces as Frigate stores them, cut out by YuNet's box with no margin: how many may be enrolled, and how like they are.

    python scripts/measure-tight-crops.py lfw_dev.zip --weights ../shared/models
    python scripts/measure-tight-crops.py lfw_dev.zip --weights ../shared/models --pad 0.5

Photos of a zip or folder with a folder for each person, whose photo it is nearest the middle, as LFW has them. A crop
is a WebP of quality 100, brought to each of --heights (0: as it is); --pad puts so much of a black border around it.
Told are the codes with which enrolment refuses, and the cosine between the embeddings of a crop and its photo's face.
"""

import argparse
import asyncio
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from gallery.enrolment.quality_gate import Gate
from gallery.enrolment.shots import embedding_in, look
from recognition.errors import CodedError
from recognition.image import decode_image
from recognition.photos import PhotoSet, nearest_to_centre
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser


async def boxes_of(photos: PhotoSet, names: list[str], recogniser: Recogniser) -> dict[str, np.ndarray]:
    boxes = {}
    for name in names:
        image = photos.read(name)
        found = (await recogniser.glance(image, "x")).detections
        if len(found):
            boxes[name] = found.boxes[nearest_to_centre(found, image)].astype(int)
    return boxes


def crop_of(picture: np.ndarray, box: np.ndarray, height: int, pad: float) -> bytes:
    left, top, right, bottom = box
    crop = picture[max(0, top) : bottom, max(0, left) : right]
    if height:
        width = max(1, round(crop.shape[1] * height / crop.shape[0]))
        crop = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = (round(side * pad) for side in crop.shape[:2])
    crop = cv2.copyMakeBorder(crop, rows, rows, columns, columns, cv2.BORDER_CONSTANT)
    return cv2.imencode(".webp", crop, [cv2.IMWRITE_WEBP_QUALITY, 100])[1].tobytes()


async def measure(
    photos: PhotoSet, boxes: dict[str, np.ndarray], recogniser: Recogniser, gate: Gate, height: int, pad: float
) -> tuple[Counter[str], list[float]]:
    ends: Counter[str] = Counter()
    cosines = []
    for name, box in boxes.items():
        whole = photos.read(name)
        try:
            data = crop_of(whole.bgr(), box, height, pad)
            taken = await look(decode_image(data, name), "", recogniser, gate)
        except CodedError as error:
            ends[error.code] += 1
            continue
        ends["taken"] += 1
        faces = await recogniser.faces(whole)
        if len(faces.detections):
            embedding = faces.embeddings[nearest_to_centre(faces.detections, whole)]
            cosines.append(float(embedding @ embedding_in(recogniser.space, taken.shots[0].photo)))
    return ends, cosines


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--heights", type=int, nargs="+", default=[0, 80, 56, 40])
    parser.add_argument("--pad", type=float, default=0.0)
    parser.add_argument("--min-face-px", type=float, default=48, help="gallery.enrol.min_face_px")
    parser.add_argument("--detector", default="nano_det")
    parser.add_argument("--embedder", default="nano_embed")
    options = parser.parse_args()
    photos, folders = PhotoSet(options.source), (options.weights,)
    names = np.random.default_rng(0).permutation(photos.names)[: options.photos].tolist()
    async with open_recogniser(RecogniserConfig("yunet_n", options.embedder, folders)) as cutter:
        boxes = await boxes_of(photos, names, cutter)
    print(f"{len(names)} photos, {len(boxes)} crops, pad {options.pad:g}")  # noqa: T201
    async with open_recogniser(RecogniserConfig(options.detector, options.embedder, folders)) as recogniser:
        for height in options.heights:
            gate = Gate(options.min_face_px, min_quality=0.25)
            ends, cosines = await measure(photos, boxes, recogniser, gate, height, options.pad)
            middle, low = np.percentile(cosines, [50, 5]) if cosines else (0, 0)
            told = ", ".join(f"{code} {count}" for code, count in ends.most_common())
            line = f"{height or 'as they are'}: {told}; cosine to the photo's {middle:.2f}, one in 20 below {low:.2f}"
            print(line)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
