"""A trained classifier <-> its five files, held together by digests. Pure but for the folder's disk.

version.txt has the SHA-256 of the three files that are the same for the same data, and an id that is made of all
five: so a file that is missing, changed, or of another run is seen before anything is unpickled. It guards against
accidents: whoever may write the folder can write a whole set. What such a set can do, pickling bounds.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gallery.classifier import folder as files_of
from gallery.classifier.classifier import PersonClassifier
from gallery.classifier.embedding import EmbedderFacts
from gallery.classifier.errors import ClassifierDamaged, ClassifierOutdated, ClassifierStale
from gallery.classifier.fitting import LEAST_CALIBRATED, Fitted
from gallery.classifier.folder import CLASSIFIER, CONFIG, METRICS, PEOPLE, VERSION
from gallery.classifier.pickling import pickled, unpickled
from recognition.errors import EmbeddingSpaceMismatch

FORMAT = 1
_STABLE = (CLASSIFIER, PEOPLE, CONFIG)
_CALIBRATED = "probability among the classes that have it, by CalibratedClassifierCV(method='temperature')"
_MARGIN = "1 / (1 + exp(-m)), m the lead over the next class in the decision function: a rank, no probability"
_VOTES = "share of the neighbours' votes: no probability"


@dataclass(frozen=True, slots=True)
class Run:
    """Of a training: when it was (UTC, ISO 8601), by which version of the program, which kind of classifier."""

    at: str
    program: str
    kind: str


def packed(
    fitted: Fitted, person_ids: tuple[str, ...], facts: EmbedderFacts, metrics: Mapping[str, Any], run: Run
) -> dict[str, bytes]:
    """The five files by name. metrics: JSON data; its key `time` alone may differ from run to run."""
    files = {
        CLASSIFIER: pickled(fitted),
        PEOPLE: _json({str(label): person for label, person in enumerate(person_ids)}),
        CONFIG: _json(_config(fitted, facts, run.kind)),
        METRICS: _json(metrics),
    }
    lines = [f"format: {FORMAT}", f"version: {run.program}", f"time: {run.at}"]
    lines += [f"sha256 {name}: {hashlib.sha256(files[name]).hexdigest()}" for name in _STABLE]
    return files | {VERSION: "\n".join([*lines, f"id: {_id(files, lines)}", ""]).encode()}


def load(folder: Path, *, serving: str | None = None, forgotten: Collection[str] = ()) -> PersonClassifier:
    """The classifier of a folder. `serving`: the space in which faces come; forgotten: ids of people who were.

    Raises ClassifierMissing, ClassifierStale, ClassifierDamaged, ClassifierOutdated, EmbeddingSpaceMismatch.
    """
    try:
        return _loaded(folder, serving, forgotten)
    except ClassifierDamaged:
        return _loaded(folder, serving, forgotten)  # a new one may have taken its place between two files


def _loaded(folder: Path, serving: str | None, forgotten: Collection[str]) -> PersonClassifier:
    files = files_of.read(folder)
    version = _checked(folder, files)
    try:
        config, people = json.loads(files[CONFIG]), json.loads(files[PEOPLE])
        person_ids = tuple(str(people[str(label)]) for label in range(len(people)))
        space, dim, library = str(config["space"]), int(config["embedding_size"]), str(config["scikit_learn"])
    except (KeyError, TypeError, ValueError) as error:
        raise ClassifierDamaged(f"classifier {folder}: a file can't be understood ({error}); train anew") from None
    here = importlib.metadata.version("scikit-learn")
    if library != here:
        raise ClassifierOutdated(
            f"classifier {folder} was made with scikit-learn {library}, and {here} is installed; run: whosthere train"
        )
    if serving is not None and space != serving:
        raise EmbeddingSpaceMismatch(
            f"classifier {folder} was trained in embedding space {space}, and faces come in {serving}; "
            "run: whosthere train"
        )
    if not set(person_ids).isdisjoint(forgotten):
        raise ClassifierStale(f"classifier {folder} knows somebody who was forgotten; run: whosthere train")
    fitted = unpickled(files[CLASSIFIER], len(person_ids), dim)
    return PersonClassifier(fitted, person_ids, space, version["id"], version["time"])


def _checked(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """version.txt's values. Raises ClassifierDamaged, ClassifierOutdated."""
    lines = files[VERSION].decode(errors="replace").split("\n")
    version = dict(line.split(": ", 1) for line in lines if ": " in line)
    if not {"format", "id", "time", "version"} <= version.keys():
        raise ClassifierDamaged(f"classifier {folder}: {VERSION} is not what training wrote; train anew")
    for name in _STABLE:
        if version.get(f"sha256 {name}") != hashlib.sha256(files[name]).hexdigest():
            raise ClassifierDamaged(f"classifier {folder}: {name} was changed, or is of another run; train anew")
    if lines[-2:] != [f"id: {_id(files, lines[:-2])}", ""]:
        raise ClassifierDamaged(f"classifier {folder}: {METRICS} or {VERSION} was changed; train anew")
    if version["format"] != str(FORMAT):
        raise ClassifierOutdated(f"classifier {folder} has format {version['format']}, not {FORMAT}; train anew")
    return version


def _id(files: Mapping[str, bytes], lines: list[str]) -> str:
    """Of all files, and of what stands in version.txt before it."""
    digest = hashlib.sha256("\n".join(lines).encode())
    for name in (*_STABLE, METRICS):
        digest.update(hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:32]


def _config(fitted: Fitted, facts: EmbedderFacts, kind: str) -> dict[str, Any]:
    small = _VOTES if kind == "knn" else _MARGIN
    large = small if fitted.calibrated is None else _CALIBRATED
    embedder = {name: value for name, value in asdict(facts).items() if name not in ("mean", "std")}
    return {
        **embedder,
        "normalisation": {"mean": facts.mean, "std": facts.std, "formula": "(pixel - mean) / std, pixels 0 to 255"},
        "classifier": kind,
        "classes": fitted.classes,
        "classes_with_probability": len(fitted.calibrated_labels),
        "confidence": {f"{LEAST_CALIBRATED}_photos_and_more": large, f"2_to_{LEAST_CALIBRATED - 1}_photos": small},
        "open_set": "unknown where the cosine to the mean of the class falls short of the matcher's threshold",
        "scikit_learn": importlib.metadata.version("scikit-learn"),
    }


def _json(document: object) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
