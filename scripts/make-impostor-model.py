#!/usr/bin/env python
"""Measure how alike strangers look to embedders, and write model/impostors/<space>.yaml for each.

    python scripts/make-impostor-model.py --photos lfw_train.zip --models FOLDER --detector scrfd_500m \
        --embedder arcface_w600k_mbf --embedder edgeface_xxs --alike one-person.txt --out model/impostors

Photos lie in a folder per person. `--alike`: names of people who are one (the set's own label errors), two a line,
which are not compared; `--find-alike COSINE` lists those that the first embedder takes for one, to be looked at, and
writes nothing. `--embeddings FILE.npz` keeps the embeddings, which are personal data, for the next time. Blocks for
minutes; 9,500 photos take 2 GiB of memory.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import numpy as np

from gallery.matching.measured_impostors import RATES, SHARES, MeasuredImpostors, Quantiles
from recognition.evaluation.labelled_faces import LabelledFaces, embed_photos
from recognition.evaluation.pairs import by_person
from recognition.photos import PhotoSet
from recognition.recogniser import RecogniserConfig


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def faces_of(asked: argparse.Namespace) -> LabelledFaces:
    if asked.embeddings is not None and asked.embeddings.exists():
        return LabelledFaces.saved(asked.embeddings)

    def told(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            say(f"{done} of {total} photos")

    config = RecogniserConfig(
        detector=asked.detector,
        embedder=asked.embedder[0],
        weights_folders=tuple(asked.models),
        in_every_space=tuple(asked.embedder[1:]),
    )
    found = asyncio.run(embed_photos(config, by_person(PhotoSet(asked.photos)), told))
    if asked.embeddings is not None:
        found.save(asked.embeddings)
    return found


def find_alike(vectors: np.ndarray, people: np.ndarray, cosine: float) -> None:
    """Pairs of people with two photos that are so alike, the most alike first."""
    best: dict[tuple[str, str], float] = {}
    for start in range(0, len(vectors), 512):
        scores = vectors[start : start + 512] @ vectors.T
        for row, column in zip(*np.nonzero(scores >= cosine), strict=True):
            first, second = people[start + row], people[column]
            if first < second:
                best[first, second] = max(best.get((first, second), -1.0), float(scores[row, column]))
    for (first, second), score in sorted(best.items(), key=lambda item: -item[1]):
        sys.stdout.write(f"{first} {second}\n")
        say(f"{score:.3f} {first} {second}")


def table(name: str, quantiles: Quantiles) -> list[str]:
    lines = [f"{name}:"]
    for how, by_templates in quantiles.items():
        lines.append(f"  {how}:")
        lines += [f"    {count}: [{', '.join(f'{one:g}' for one in row)}]" for count, row in by_templates.items()]
    return lines


def write(space: str, faces: LabelledFaces, asked: argparse.Namespace, alike: list[tuple[str, str]]) -> None:
    kept = faces.usable(asked.min_quality)
    measured = MeasuredImpostors(faces.embeddings[space][kept], faces.people[kept], alike)
    left_out = f", {len(alike)} pairs of names of one person left out" if alike else ""
    lines = [
        "# Written by scripts/make-impostor-model.py: quantiles over thousands of people, nothing of any one of them.",
        f"space: {space}",
        f"detector: {asked.detector}",
        f"min_quality: {asked.min_quality:g}",
        f"measured_on: '{asked.photos.stem}: {len(measured.names)} people, {int(kept.sum())} photos{left_out}'",
        f"comparisons: {measured.comparisons}",
        f"rates: [{', '.join(f'{one:g}' for one in RATES)}]",
        *table("impostor", measured.impostor()),
        f"shares: [{', '.join(f'{one:g}' for one in SHARES)}]",
        *table("genuine", measured.genuine()),
    ]
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / f"{space}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"wrote {asked.out / f'{space}.yaml'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--models", type=Path, action="append", default=[])
    parser.add_argument("--detector", required=True)
    parser.add_argument("--embedder", action="append", required=True)
    parser.add_argument("--min-quality", type=float, default=0.15)
    parser.add_argument("--alike", type=Path)
    parser.add_argument("--find-alike", type=float)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--out", type=Path, default=Path("model/impostors"))
    asked = parser.parse_args()
    faces = faces_of(asked)
    if asked.find_alike is not None:
        kept = faces.usable(asked.min_quality)
        find_alike(next(iter(faces.embeddings.values()))[kept], faces.people[kept], asked.find_alike)
        return
    alike = []
    if asked.alike is not None:
        alike = [(line.split()[0], line.split()[1]) for line in asked.alike.read_text().splitlines() if line.strip()]
    alike = [pair for pair in alike if set(pair) <= set(faces.people.tolist())]
    for space in faces.embeddings:
        write(space, faces, asked, alike)


if __name__ == "__main__":
    main()
