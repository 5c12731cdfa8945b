#!/usr/bin/env python
"""The trained classifier beside the matcher, at equal FPIR; a table in Markdown on stdout.

    python scripts/measure-classifier.py lfw_train.zip --models FOLDER --detector nano_det --embedder nano_embed
    python scripts/measure-classifier.py lfw_dev.zip --crops

People of five photos and more: a quarter of each one's photos are probes, the others are trained on, and enrolled.
500 people of fewer photos are strangers. A photo's face is the one nearest its middle; of faces that are too poor to be
embedded by cameras none counts. Each person counts once. With --crops, what becomes of faces that come without their
surroundings, as those of a table `face` do. Blocks for minutes.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gallery.classifier.classifier import NamedClasses, PersonClassifier
from gallery.classifier.dataset import Dataset
from gallery.classifier.embedding import RecogniserEmbedder
from gallery.classifier.fitting import Fitted, fit
from gallery.index.faiss_index import FaceIndex
from gallery.matching.decide import Match, decide
from gallery.people import Profile, Templates
from recognition.arrays import F32, U8
from recognition.embed import usable
from recognition.image import ArrayImage
from recognition.photos import PhotoSet, nearest_to_centre
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from streamer.settings_reading import load

SETTINGS = load(environ={})
MARGIN, TOP_K = SETTINGS.gallery.margin, SETTINGS.gallery.top_k
FPIRS = (1e-2, 1e-3)
STRANGERS, AT_ONCE, CROPS = 500, 4, 200
Scores = tuple[np.ndarray, np.ndarray]  # whether the name is right, and what it is held to the threshold by; -1: none


@dataclass(frozen=True)
class Faces:
    """embeddings (n,d) and whose each is."""

    embeddings: F32
    people: list[str]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def embedded(photos: PhotoSet, names: Sequence[str], recogniser: Recogniser) -> Faces:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> F32 | None:
        async with room:
            image = await asyncio.to_thread(photos.read, name)
            found = await recogniser.detect(image, "photo")
            which = nearest_to_centre(found.detections, image)
            if which is None or found.quality.turn[which] != 0:
                return None
            if found.quality.score[which] < SETTINGS.recognition.min_quality:
                return None
            answer = await recogniser.embed(image, found.detections.landmarks[which : which + 1], "photo")
            return answer.embeddings[0] if usable(answer.embeddings)[0] else None

    made = await asyncio.gather(*map(one, names))
    kept = [(made[row], photos.person_of(name)) for row, name in enumerate(names) if made[row] is not None]
    return Faces(np.stack([face for face, _ in kept]), [person for _, person in kept])


def chosen(photos: PhotoSet) -> tuple[list[str], list[str], list[str]]:
    """The names of photos to train on, of probes, and of strangers."""
    of_person: dict[str, list[str]] = defaultdict(list)
    for name in photos.names:
        of_person[photos.person_of(name)].append(name)
    many = [sorted(names) for _, names in sorted(of_person.items()) if len(names) >= 5]
    few = [names for _, names in sorted(of_person.items()) if len(names) < 5]
    order = np.random.default_rng(1).permutation(len(few))[:STRANGERS]
    train = [name for names in many for name in names[: -max(1, len(names) // 4)]]
    probes = [name for names in many for name in names[-max(1, len(names) // 4) :]]
    return train, probes, [name for row in sorted(order) for name in few[row]]


def scored(matches: Sequence[Match], people: Sequence[str]) -> Scores:
    right = np.array([match.person_id == person for match, person in zip(matches, people, strict=True)])
    return right, np.array([match.similarity if match.outcome == "known" else -1.0 for match in matches])


def row(name: str, judge: Callable[[F32], list[Match]], probes: Faces, strangers: Faces) -> str:
    right, own = scored(judge(probes.embeddings), probes.people)
    _, others = scored(judge(strangers.embeddings), strangers.people)
    counts = {person: probes.people.count(person) for person in set(probes.people)}
    weights = np.array([1.0 / counts[person] for person in probes.people]) / len(counts)
    told = []
    for fpir in FPIRS:
        highest = np.sort(others)[::-1]
        threshold = highest[int(fpir * len(others))]
        told.append(f"{100 * (1 - float(weights[right & (own > threshold)].sum())):.1f} %")
    return f"| {name} | {100 * float(weights[right].sum()):.1f} % | {' | '.join(told)} |"


def matcher(train: Faces, how: str) -> Callable[[F32], list[Match]]:
    order = np.argsort(train.people, kind="stable")
    owners = tuple(train.people[at] for at in order)
    index = FaceIndex.of(Templates("measured", np.arange(len(order)), owners, train.embeddings[order]), how)
    return lambda faces: [decide([one], -1.0, MARGIN) for one in index.search_people(faces, TOP_K)]


def by_classifier(fitted: Fitted, dataset: Dataset) -> Callable[[F32], list[Match]]:
    classifier = PersonClassifier(fitted, dataset.person_ids, "measured", "", "")
    classes = NamedClasses.of(classifier, {person: Profile(person) for person in dataset.person_ids})

    def judge(faces: F32) -> list[Match]:
        matches = []
        for face in faces:
            match = decide(classes.candidates(face[None], [1.0], TOP_K), -1.0, MARGIN, [1.0])
            matches.append(classes.confirmed(match, face[None], [1.0]))
        return matches

    return judge


def by_confidence(fitted: Fitted, dataset: Dataset) -> Callable[[F32], list[Match]]:
    """Held to its own confidence alone: no open-set check."""

    def judge(faces: F32) -> list[Match]:
        said = fitted.predict(faces)
        named = [dataset.person_ids[label] for label in said.best]
        return [Match("known", who, sure, None, who) for who, sure in zip(named, said.confidence.tolist(), strict=True)]

    return judge


async def measure_crops(given: argparse.Namespace) -> None:
    """How often no face is found in a crop, and how near its embedding is to the one made of the whole photo."""
    photos = PhotoSet(given.photos)
    names = np.random.default_rng(1).permutation(photos.names)[:CROPS].tolist()
    say("| crop | no face found | cosine to the face in its photo: median | 5th percentile | without landmarks |")
    say("|---|---|---|---|---|")
    config = RecogniserConfig(given.detector, given.embedder, (given.models,), max_batch=1)
    async with open_recogniser(config) as recogniser:
        embedder, seen = RecogniserEmbedder(recogniser), []
        for name in names:
            image = photos.read(name)
            found = await recogniser.detect(image, "photo")
            which = nearest_to_centre(found.detections, image)
            if which is not None and found.quality.turn[which] == 0:
                whole = await recogniser.embed(image, found.detections.landmarks[which : which + 1], "photo")
                seen.append((image.bgr(), found.detections.boxes[which], whole.embeddings[0]))
        for grown, size in ((0.0, None), (0.1, None), (0.3, None), (0.1, 160), (0.1, 112), (0.1, 64)):
            faces = [await embedder.embed_crop(ArrayImage(cut(bgr, box, grown, size))) for bgr, box, _ in seen]
            cosines = np.array([face.embedding @ whole for face, (*_, whole) in zip(faces, seen, strict=True)])
            lost = np.array([not face.is_found for face in faces])
            without = f"{np.median(cosines[lost]):.2f}" if lost.any() else ""
            told = f"the face's box{f' and {grown:.0%} more' if grown else ''}{f', {size} px' if size else ''}"
            figures = f"{np.median(cosines[~lost]):.2f} | {np.percentile(cosines[~lost], 5):.2f}"
            say(f"| {told} | {lost.sum()} of {len(seen)} | {figures} | {without} |")


def cut(bgr: U8, box: F32, grown: float, size: int | None) -> U8:
    """What a detector's box (xyxy) shows, so much larger, of that many pixels a side."""
    more = grown * (box[2:] - box[:2]) / 2
    left, top = np.maximum(box[:2] - more, 0).astype(int)
    right, bottom = (box[2:] + more).astype(int)
    crop = bgr[top:bottom, left:right]
    return crop if size is None else cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


async def measure(given: argparse.Namespace) -> None:
    photos = PhotoSet(given.photos)
    config = RecogniserConfig(given.detector, given.embedder, (given.models,))
    async with open_recogniser(config) as recogniser:
        train, probes, strangers = [await embedded(photos, names, recogniser) for names in chosen(photos)]
    dataset = Dataset.of(train.embeddings, train.people)
    say(
        f"{given.embedder} behind {given.detector}: {len(dataset.person_ids)} people, {len(dataset)} faces trained on, "
        f"{len(probes.people)} probes, {len(strangers.people)} faces of strangers\n"
    )
    say(f"| | right of all probes | {' | '.join(f'FNIR at FPIR {fpir:g}' for fpir in FPIRS)} |\n|---|---|---|---|")
    for how in ("best", "class_mean"):
        say(row(f"matcher, {how}", matcher(train, how), probes, strangers))
    for kind in ("svc", "knn", "centroid"):
        fitted = fit(dataset, kind)
        say(row(f"classifier, {kind}", by_classifier(fitted, dataset), probes, strangers))
        if kind == "svc":
            say(row("classifier, svc, by its confidence alone", by_confidence(fitted, dataset), probes, strangers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a ZIP or folder with a folder of photos a person")
    parser.add_argument("--models", type=Path, default=Path("model/artifacts"))
    parser.add_argument("--detector", default="nano_det")
    parser.add_argument("--embedder", default="nano_embed")
    parser.add_argument("--crops", action="store_true", help="of faces without their surroundings")
    given = parser.parse_args()
    asyncio.run(measure_crops(given) if given.crops else measure(given))
