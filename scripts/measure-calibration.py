#!/usr/bin/env python
"""The share of strangers who are named, asked for beside measured; a table in Markdown on stdout.

    python scripts/measure-calibration.py --faces lfw_dev.zip --filling lfw_train.zip --models FOLDER \
        --detector scrfd_500m --embedder arcface_w600k_mbf --fpir 0.01

Half of the people of --faces are the gallery (with people of --filling where that is to be larger), the other half,
whom calibration never saw, are the strangers: five splits. As the service decides: its index, its aggregation, its
margin, its quality gate. A person counts once, however many photos there are; FNIR is of photos that are not enrolled.
--embeddings FOLDER keeps the embeddings, which are personal data, for the next time. Blocks for minutes.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from gallery.index.faiss_index import FaceIndex
from gallery.matching.aggregate import Aggregation
from gallery.matching.calibration import Calibration, Conditions, calibrate
from gallery.matching.cross_scores import cross_scores
from gallery.matching.decide import decide
from gallery.people import Templates
from recognition.evaluation.labelled_faces import LabelledFaces, embed_photos
from recognition.evaluation.pairs import by_person
from recognition.photos import PhotoSet
from recognition.recogniser import RecogniserConfig

MARGIN, MIN_QUALITY, TOP_K, SPLITS = 0.05, 0.15, 10, 5
SIZES = (10, 50, 400, 2000)
ENROLLED = (1, 3, 1000)


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """vectors (n,d) of one space, and whose they are."""

    vectors: np.ndarray
    people: np.ndarray

    def of(self, who: np.ndarray, most: int | None = None) -> "Faces":
        rows = np.flatnonzero(np.isin(self.people, who))
        if most is not None:
            names = self.people[rows]
            rank = np.array([int((names[:place] == name).sum()) for place, name in enumerate(names)], int)
            rows = rows[rank < most]
        return Faces(self.vectors[rows], self.people[rows])

    def without(self, others: "Faces") -> "Faces":
        taken = {row.tobytes() for row in others.vectors}
        rows = [place for place, row in enumerate(self.vectors) if row.tobytes() not in taken]
        return Faces(self.vectors[rows], self.people[rows])

    def and_more(self, others: "Faces") -> "Faces":
        return Faces(np.concatenate((self.vectors, others.vectors)), np.concatenate((self.people, others.people)))

    def templates(self, space: str) -> Templates:
        ids = np.arange(1, len(self.people) + 1, dtype=np.int64)
        return Templates(space, ids, tuple(map(str, self.people)), self.vectors)


def faces_of(photos: Path, asked: argparse.Namespace) -> LabelledFaces:
    kept = asked.embeddings and asked.embeddings / f"{photos.stem}-{asked.detector}-{'-'.join(asked.embedder)}.npz"
    if kept and kept.exists():
        return LabelledFaces.saved(kept)

    def told(done: int, total: int) -> None:
        if done % 500 == 0 or done == total:
            sys.stderr.write(f"{photos.stem}: {done} of {total} photos\n")

    config = RecogniserConfig(
        detector=asked.detector,
        embedder=asked.embedder[0],
        weights_folders=tuple(asked.models),
        in_every_space=tuple(asked.embedder[1:]),
    )
    found = asyncio.run(embed_photos(config, by_person(PhotoSet(photos)), told))
    if kept:
        found.save(kept)
    return found


def usable(found: LabelledFaces, space: str) -> Faces:
    rows = found.usable(MIN_QUALITY)
    return Faces(found.embeddings[space][rows], found.people[rows])


def nobody_enrolled(strangers: np.ndarray, enrolled: np.ndarray, errors: list[list[str]]) -> np.ndarray:
    """Without those who are enrolled under another name, by mistake of the photo set's labels."""
    there = set(enrolled.tolist())
    known = {one for pair in errors for one, other in (pair, pair[::-1]) if other in there}
    return np.array([who for who in strangers.tolist() if who not in known])


def splits(people: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in range(SPLITS):
        order = np.random.default_rng(number).permutation(people)
        yield order[: len(order) // 2], order[len(order) // 2 :]


def named(index: FaceIndex, probes: Faces, threshold: float, how: Aggregation) -> list[str | None]:
    """Whom each probe is named as."""
    found = index.search_people(np.ascontiguousarray(probes.vectors), TOP_K)
    return [decide([candidates], threshold, MARGIN).person_id for candidates in found]


def share(hits: np.ndarray, people: np.ndarray) -> float:
    """Each person counts once."""
    _, inverse, photos = np.unique(people, return_inverse=True, return_counts=True)
    weights = 1 / photos[inverse]
    return float((weights * hits).sum() / weights.sum()) if len(hits) else float("nan")


def measure(
    space: str, gallery: Faces, strangers: Faces, genuine: Faces, how: Aggregation, fpir: float
) -> tuple[Calibration, float, float]:
    templates = gallery.templates(space)
    conditions = Conditions("", how, MARGIN, MIN_QUALITY)
    found, _ = calibrate(space, cross_scores(templates, how), conditions, fpir, 0.0)
    index = FaceIndex.of(templates, how)
    wrongly = np.array([who is not None for who in named(index, strangers, found.threshold, how)], bool)
    own = np.array(named(index, genuine, found.threshold, how), object) != genuine.people
    return found, share(wrongly, strangers.people), share(own, genuine.people)


def rows(
    space: str, faces: Faces, filling: Faces, how: Aggregation, fpir: float, errors: list[list[str]]
) -> Iterator[list[str]]:
    for size in SIZES:
        for photos in ENROLLED:
            results = []
            for mine, others in splits(np.unique(faces.people)):
                everything = faces.of(mine[:size])
                gallery = faces.of(mine[:size], photos)
                probes = everything.without(gallery)
                if size > len(mine):
                    more = np.random.default_rng(size).permutation(np.unique(filling.people))[: size - len(mine)]
                    gallery = gallery.and_more(filling.of(more, photos))
                strangers = faces.of(nobody_enrolled(others, gallery.people, errors))
                results.append(measure(space, gallery, strangers, probes, how, fpir))
            measured = np.array([one[1] for one in results])
            yield [
                space,
                how,
                str(size),
                {1: "one", 3: "three"}.get(photos, "all"),
                f"{np.mean([one[0].threshold for one in results]):.3f}",
                f"{measured.mean():.2%}",
                f"{measured.min():.2%} to {measured.max():.2%}",
                f"{np.mean([one[0].expected_fnir or np.nan for one in results]):.1%}",
                "" if photos > 3 else f"{np.nanmean([one[2] for one in results]):.1%}",
            ]


def alike(space: str, faces: Faces, how: Aggregation, fpir: float) -> list[str]:
    """Fifty of the 500 people who are nearest to one of them enrolled, the others strangers; beside the same by the
    measured tail alone.
    """
    everybody, first = np.unique(faces.people, return_index=True)
    measured, alone = [], []
    for number in range(15):
        rng = np.random.default_rng(number)
        middle = faces.vectors[first[rng.integers(len(first))]]
        near = rng.permutation(everybody[np.argsort(-(faces.vectors[first] @ middle))[:500]])
        gallery, strangers = faces.of(near[:50], 3), faces.of(near[50:])
        found, _, _ = measure(space, gallery, strangers, strangers.of(near[:0]), how, fpir)
        index = FaceIndex.of(gallery.templates(space), how)
        for threshold, into in ((found.threshold, measured), (found.threshold - found.shift, alone)):
            hits = np.array([who is not None for who in named(index, strangers, threshold, how)], bool)
            into.append(share(hits, strangers.people))
    told = [f"{np.mean(one):.2%} ({min(one):.2%} to {max(one):.2%})" for one in (measured, alone)]
    return [space, how, *told]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--filling", type=Path, required=True)
    parser.add_argument("--models", type=Path, action="append", default=[])
    parser.add_argument("--detector", required=True)
    parser.add_argument("--embedder", action="append", required=True)
    parser.add_argument("--aggregation", choices=get_args(Aggregation), action="append", required=True)
    parser.add_argument("--fpir", type=float, default=0.01)
    parser.add_argument("--label-errors", type=Path, help="names of people who are one, two a line")
    parser.add_argument("--alike", action="store_true", help="galleries of people who are alike, of --filling")
    parser.add_argument("--embeddings", type=Path)
    asked = parser.parse_args()
    faces, filling = faces_of(asked.faces, asked), faces_of(asked.filling, asked)
    if asked.alike:
        for space in filling.embeddings:
            for how in asked.aggregation:
                sys.stdout.write(f"| {' | '.join(alike(space, usable(filling, space), how, asked.fpir))} |\n")
        return
    errors = [line.split() for line in asked.label_errors.read_text().splitlines()] if asked.label_errors else []
    head = ["space", "aggregation", "people", "photos each", "threshold", "measured FPIR", "of five splits"]
    head += ["expected FNIR", "measured FNIR"]
    for line in (head, ["---"] * len(head)):
        sys.stdout.write(f"| {' | '.join(line)} |\n")
    for space in faces.embeddings:
        for how in asked.aggregation:
            for row in rows(space, usable(faces, space), usable(filling, space), how, asked.fpir, errors):
                sys.stdout.write(f"| {' | '.join(row)} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
