#!/usr/bin/env python
"""What one "this is not her" does to people who look alike, and what a wrong photo among somebody's own does; Markdown.

    python scripts/measure-look-alikes.py --faces lfw_train.zip --models FOLDER --detector scrfd_500m \
        --embedder edgeface_xxs

Look-alikes: every stranger with two photos and everybody enrolled who come out as one person by a threshold that names
a tenth of all strangers' photos, so that there are enough. The stranger's nearest face is said not to be that person;
then the stranger's other faces that were named, and the person's own that were. Half of the people enrolled with all
photos but a quarter, then the other half. Blocks for minutes.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np

from gallery.evaluation.naming import Rules, by_matching
from gallery.evaluation.open_set import Trial, naming_rates, trials
from gallery.index.faiss_index import FaceIndex
from gallery.matching.exact import cosines, on_grid
from gallery.people import Templates
from recognition.evaluation import error_rates
from recognition.evaluation.evaluate import evaluate, is_enrolled
from recognition.evaluation.pairs import by_person
from recognition.photos import PhotoSet
from recognition.recogniser import RecogniserConfig
from recognition.specs.packs import Pack

WITHIN = (-0.05, 0.0, 0.02, 0.05, 0.08, 0.1, 0.15)
NAMED_STRANGERS = 0.1
OUTLIERS = (0.05, 0.1, 0.15, 0.2, 0.3, 2.0)
WRONG_SHARE, LEAST_PHOTOS = 0.3, 3
RULES = Rules("class_mean", 0.05, 10, None, classifies=False)


def faces_of(asked: argparse.Namespace) -> tuple[error_rates.Templates, np.ndarray]:
    photos = by_person(PhotoSet(asked.faces))
    pack = Pack(name="measured", detector=asked.detector, embedder=asked.embedder)
    config = RecogniserConfig(asked.detector, asked.embedder, tuple(asked.models))

    def told(done: int, total: int) -> None:
        if done % 500 == 0:
            sys.stderr.write(f"{done} of {total} photos\n")

    found = asyncio.run(evaluate(pack, config, photos, None, told))
    return found.templates, np.array([is_enrolled(name) for name in photos.people], np.bool_)


def look_alikes(photos: error_rates.Templates, trial: Trial) -> Iterator[np.ndarray]:
    """Of each pair the shares that stay named, by WITHIN: (2, len(WITHIN)), the stranger's others and the person's own;
    NaN where none was named before.
    """
    owners = photos.people[trial.enrolled]
    gallery = Templates(
        "s", np.arange(len(owners)), tuple(map(str, owners.tolist())), photos.embeddings[trial.enrolled]
    )
    index = FaceIndex.of(gallery, "class_mean")

    def similarities(rows: np.ndarray) -> list[dict[str, float]]:
        return [dict(found.similarities) for found in index.search_people(photos.embeddings[rows], RULES.top_k)]

    strangers = similarities(trial.impostors)
    threshold = float(np.quantile([max(row.values()) for row in strangers], 1 - NAMED_STRANGERS))
    by_pair: dict[tuple[int, str], dict[int, float]] = {}
    for row, found in zip(trial.impostors.tolist(), strangers, strict=True):
        for who, similarity in found.items():
            if similarity >= threshold:
                by_pair.setdefault((int(photos.people[row]), who), {})[row] = similarity
    own = dict(zip(trial.genuine.tolist(), similarities(trial.genuine), strict=True))
    for (stranger, who), named in by_pair.items():
        if (photos.people == stranger).sum() < 2:
            continue
        negative = max(named, key=lambda row: named[row])
        others = {row: similarity for row, similarity in named.items() if row != negative}
        hers = {row: found.get(who, -1.0) for row, found in own.items() if str(photos.people[row]) == who}
        hers = {row: similarity for row, similarity in hers.items() if similarity >= threshold}
        yield np.stack([still_named(photos, negative, rows) for rows in (others, hers)])


def still_named(photos: error_rates.Templates, negative: int, rows: dict[int, float]) -> np.ndarray:
    """is_refuted()'s rule with each of WITHIN."""
    if not rows:
        return np.full(len(WITHIN), np.nan)
    nearness = cosines(on_grid(photos.embeddings[list(rows)]), on_grid(photos.embeddings[negative][np.newaxis]))[:, 0]
    return np.mean(nearness[:, np.newaxis] < np.array(list(rows.values()))[:, np.newaxis] - WITHIN, axis=0)


def wrong_photos(photos: error_rates.Templates, trial: Trial) -> tuple[error_rates.Templates, Trial]:
    """The last enrolled photo of some is a stranger's, who is no probe then."""
    random = np.random.default_rng(3)
    people, sizes = np.unique(photos.people[trial.enrolled], return_counts=True)
    chosen = people[(sizes >= LEAST_PHOTOS) & (random.random(len(people)) < WRONG_SHARE)]
    planted = random.choice(trial.impostors, len(chosen), replace=False)
    embeddings = photos.embeddings.copy()
    for person, stranger in zip(chosen, planted, strict=True):
        embeddings[trial.enrolled[photos.people[trial.enrolled] == person][-1]] = photos.embeddings[stranger]
    left = trial.impostors[~np.isin(photos.people[trial.impostors], photos.people[planted])]
    return error_rates.Templates(embeddings, photos.people, photos.found), Trial(trial.enrolled, trial.genuine, left)


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--models", type=Path, action="append", default=[])
    parser.add_argument("--detector", required=True)
    parser.add_argument("--embedder", required=True)
    asked = parser.parse_args()
    photos, enrolled = faces_of(asked)
    halves = trials(photos, enrolled, None)
    found = [pair for trial in halves for pair in look_alikes(photos, trial)]
    if not found:
        sys.exit(f"{asked.faces}: nobody in it looks like anybody else; give more people")
    pairs = np.stack(found)
    told = (~np.isnan(pairs[:, :, 0])).sum(axis=0)
    show(f"{asked.embedder}: {len(pairs)} pairs; of {told[0]} the stranger's others, of {told[1]} her own were named\n")
    show("| refuted within | the stranger's others still named | her own still named |\n|---|---|---|")
    for within, (others, own) in zip(WITHIN, np.nanmean(pairs, axis=0).T, strict=True):
        show(f"| {within:g} | {others:.1%} | {own:.1%} |")
    show(
        "\n| outliers left out from | three photos | three, some wrong | all | all, some wrong |\n|---|---|---|---|---|"
    )
    for outlier in OUTLIERS:
        with patch("gallery.matching.aggregate.OUTLIER", outlier):
            show(f"| {outlier:g} | {' | '.join(map(fnir, held_to_wrong_photos(photos, enrolled)))} |")


Held = list[tuple[error_rates.Templates, Trial]]


def held_to_wrong_photos(photos: error_rates.Templates, enrolled: np.ndarray) -> Iterator[Held]:
    for most in (3, None):
        halves = trials(photos, enrolled, most)
        yield [(photos, trial) for trial in halves]
        yield [wrong_photos(photos, trial) for trial in halves]


def fnir(held: Held) -> str:
    """At FPIR 1e-2."""
    named = [(trial, by_matching(faces, trial, RULES)) for faces, trial in held]
    return f"{naming_rates(held[0][0].people, named, [1e-2])[1e-2].fnir:.1%}"


if __name__ == "__main__":
    main()
