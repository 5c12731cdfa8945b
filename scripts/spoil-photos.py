#!/usr/bin/env python3
"""Photos as a worse camera would have taken them, or those of turned heads: what a model card tells limits from.

    python scripts/spoil-photos.py photos.zip small.zip --scale 0.25
    python scripts/spoil-photos.py photos.zip dark.zip --gamma 4 --noise 8
    python scripts/spoil-photos.py photos.zip same.zip --pairs pairs.csv --turned 25 --pairs-out turned.csv

The last one keeps the pairs of which one head or both are turned by so many degrees, and copies the photos.
"""

import argparse
import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np

from recognition.align import aligned_grey_crops
from recognition.image import ArrayImage
from recognition.photos import PhotoSet, central_face
from recognition.quality import grade
from recognition.training.teacher import TeachingDetector


def spoiled(bgr: np.ndarray, scale: float, gamma: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Smaller (and back, so that the face's place stays), darker, noisier."""
    high, wide = bgr.shape[:2]
    if scale != 1.0:
        small = cv2.resize(bgr, (round(wide * scale), round(high * scale)), interpolation=cv2.INTER_AREA)
        bgr = cv2.resize(small, (wide, high), interpolation=cv2.INTER_LINEAR)
    shade = (np.linspace(0, 1, 256) ** gamma * 255).round()
    dark = shade[bgr] + rng.normal(0, noise, bgr.shape) if noise else shade[bgr]
    return np.clip(dark, 0, 255).astype(np.uint8)


def turned(photos: PhotoSet, names: set[str], degrees: float, detector: TeachingDetector) -> set[str]:
    """The names of the photos whose head is turned by at least so much, by its landmarks."""
    found = set()
    for name in names:
        image: ArrayImage = photos.read(name)
        landmarks = central_face(detector.detect(image), image)
        if len(landmarks) and abs(grade(aligned_grey_crops(image, landmarks), landmarks).yaw[0]) >= degrees:
            found.add(name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=1.0)
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation, of 255")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--pairs-out", type=Path)
    parser.add_argument("--turned", type=float, help="degrees of yaw")
    parser.add_argument("--detector", default="yunet_n")
    parser.add_argument("--weights", type=Path, default=Path("../shared/models"))
    options = parser.parse_args()
    photos = PhotoSet(options.photos)
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(options.out, "w") as out:
        for name in photos.names:
            picture = spoiled(photos.read(name).bgr(), options.scale, options.gamma, options.noise, rng)
            out.writestr(name, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    if options.pairs:
        rows = list(csv.DictReader(options.pairs.open()))
        named = {row[side] for row in rows for side in ("image_a", "image_b")}
        detector = TeachingDetector(options.detector, [options.weights])
        away = turned(photos, named, options.turned, detector)
        with options.pairs_out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(row for row in rows if {row["image_a"], row["image_b"]} & away)


if __name__ == "__main__":
    main()
