#!/usr/bin/env python
"""What scores re-ranking gives to strangers and to people who are known; a table in Markdown on stdout.

    python scripts/measure-rerank.py --faces lfw_dev.zip --models FOLDER --detector scrfd_500m \\
        --embedder edgeface_xxs --embedder arcface_w600k_mbf

Half of the people are enrolled (even MD5 of the name), with their last photo as probe; the others' photos are
strangers'. The candidates of a probe are the templates nearest to it. A stranger counts where anybody reaches the bar,
a person where the person does. Blocks for minutes.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gallery.matching.rerank import DEFAULT_THRESHOLD, Reranker
from recognition.evaluation.evaluate import is_enrolled
from recognition.evaluation.pairs import PeoplesPhotos, by_person
from recognition.photos import PhotoSet, central_face
from recognition.recogniser import RecogniserConfig, open_recogniser

AT_ONCE = 4
CANDIDATES = (5, 20, 50, 100, 199, 200, 500)
BARS = (0.5, DEFAULT_THRESHOLD, 0.7)
PROBES = 300  # of each kind, at most


async def embedded(photos: PeoplesPhotos, config: RecogniserConfig) -> np.ndarray:
    """(photos, d) float32 unit vectors of the central faces; zeros where there is none."""
    async with open_recogniser(config) as recogniser:
        found = np.zeros((len(photos), recogniser.embedder.spec.embedding_size), np.float32)

        async def work(places: Iterator[int]) -> None:
            for place in places:
                image = await asyncio.to_thread(photos.image, place)
                seen = await recogniser.detect(image, "photo")
                landmarks = central_face(seen.detections, image)
                if len(landmarks):
                    found[place] = (await recogniser.embed(image, landmarks, "photo")).embeddings[0]

        places = iter(range(len(photos)))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work(places))
    return found


def rows(photos: PeoplesPhotos, embeddings: np.ndarray, enrolled_with: int) -> Iterator[list[object]]:
    """How many candidates, how often the person is the first, and by bar strangers and people who reach it."""
    rng, usable = np.random.default_rng(0), embeddings.any(axis=1)
    templates, genuine, strangers = [], [], []
    for person, name in enumerate(photos.people):
        theirs = np.flatnonzero((photos.person == person) & usable)
        if not is_enrolled(name):
            strangers.extend(theirs)
            continue
        templates.extend(theirs[: max(min(len(theirs) - 1, enrolled_with), 1)])
        if len(theirs) > enrolled_with:
            genuine.append(theirs[-1])
    known, owners = embeddings[templates], photos.person[templates]
    genuine, strangers = (rng.permutation(some)[:PROBES] for some in (genuine, strangers))
    reranker = Reranker()
    for count in CANDIDATES:

        def scores(probe: int, count: int = count) -> dict[str, float]:
            near = np.argsort(-(known @ embeddings[probe]))[:count]
            found = reranker.rerank(embeddings[probe], [str(owner) for owner in owners[near]], known[near])
            return {score.id: score.score for score in found.scores}

        theirs = [(scores(probe), str(photos.person[probe])) for probe in genuine]
        first = np.mean([next(iter(found)) == who for found, who in theirs])
        own = np.array([found.get(who, 0.0) for found, who in theirs])
        best = np.array([max(scores(probe).values()) for probe in strangers])
        shares = [f"{np.mean(best >= bar):.0%} / {np.mean(own >= bar):.0%}" for bar in BARS]
        yield [enrolled_with, count, f"{first:.0%}", *shares]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="a ZIP or folder, with a folder a person")
    parser.add_argument("--models", type=Path, action="append", default=[], help="folders of weights")
    parser.add_argument("--detector", default="nano_det")
    parser.add_argument("--embedder", action="append")
    options = parser.parse_args(arguments)
    photos = by_person(PhotoSet(options.faces))
    head = ["embedder", "photos each", "candidates", "the person first", *(f"reach {bar:g}" for bar in BARS)]
    lines: list[list[object]] = [[*head], ["---"] * len(head)]
    for embedder in options.embedder or ["nano_embed"]:
        config = RecogniserConfig(options.detector, embedder, tuple(options.models))
        embeddings = asyncio.run(embedded(photos, config))
        lines += [[embedder, *row] for enrolled_with in (1, 5) for row in rows(photos, embeddings, enrolled_with)]
    sys.stdout.writelines("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


if __name__ == "__main__":
    main()
