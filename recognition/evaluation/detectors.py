"""How good detectors are, side by side in one run: photos, clips and specs in, one row of figures each out.

Blocks for minutes. Nothing here trains or tunes: thresholds come with the specs, and recall at a rate of false alarms
needs none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from recognition import detect
from recognition.arrays import F32
from recognition.errors import ClipUnreadable
from recognition.evaluation.timing import by_turns
from recognition.faces import Detections, iou
from recognition.image import ArrayImage, Image
from recognition.photos import PhotoSet, nearest_to_centre
from recognition.training.matching_faces import GroundTruth, clipped, recall_at
from recognition.training.photo_labels import load_labelled
from recognition.training.scenes import compose
from recognition.training.teacher import TeachingDetector

FALSE_ALARMS = 0.1
_LEAST_SCORE = 0.02
_SCENE_SIDE = 640
_SCENES_SEED = 9_000_000
_REFERENCE_DOUBTFUL = 0.3
_SAME_FACE = 0.5


@dataclass(frozen=True, slots=True)
class FiguresOptions:
    """What to measure. The first of `detectors` is the teacher: ratios are to it, and it labels the photos."""

    detectors: tuple[str, ...]
    reference: str
    photos: Path
    clips: tuple[Path, ...]
    empty_clips: tuple[Path, ...]
    weights_folders: tuple[Path, ...]
    cache: Path
    scenes: int = 400


def measure_detectors(options: FiguresOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """{"detectors": {name: figures}, "ratios": {name: share of the teacher's}, "options": ...}."""
    detectors = {name: TeachingDetector(name, options.weights_folders) for name in options.detectors}
    teacher = detectors[options.detectors[0]]
    rows: dict[str, dict[str, Any]] = {name: {} for name in detectors}
    say("composing scenes")
    for name, figures in _on_scenes(detectors, teacher, options, say).items():
        rows[name]["scenes"] = figures
    for clip in options.clips:
        say(f"clip {clip.name}")
        for name, figures in _on_clip(detectors, TeachingDetector(options.reference, options.weights_folders), clip):
            rows[name][clip.stem] = figures
    for clip in options.empty_clips:
        say(f"clip {clip.name}")
        for name, figures in _on_empty_clip(detectors, clip).items():
            rows[name][clip.stem] = figures
    say("landmarks")
    for name, figures in _landmarks(detectors, teacher, PhotoSet(options.photos)).items():
        rows[name]["landmarks"] = figures
    for name, times in milliseconds(detectors).items():
        rows[name] |= times
    return {"detectors": rows, "ratios": _ratios(rows, options), "options": _plain(options)}


def as_table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table: a column for each detector, recall and time as shares of the first's, too."""
    rows, ratios = figures["detectors"], figures["ratios"]
    names = list(rows)
    lines = [("", *names)]
    for place in ratios[names[0]]:
        if place != "ms":
            cells = (f"{rows[name][place]['recall']:.3f} ({ratios[name][place]:.0%})" for name in names)
            lines.append((f"recall at {FALSE_ALARMS:g} false alarms, {place}", *cells))
    empty = [place for place, value in rows[names[0]].items() if isinstance(value, dict) and "highest_score" in value]
    for place in empty:
        cells = (f"{rows[name][place]['boxes_at_own_threshold']} of {rows[name][place]['pictures']}" for name in names)
        lines.append((f"boxes on {place} at the spec's threshold", *cells))
    marks = [rows[name]["landmarks"] for name in names]
    lines.append(("landmark error / eye distance", *(f"{one['mean_error']:.3f}" for one in marks)))
    lines.append(("photos without that face", *(f"{one['missed']} of {one['photos']}" for one in marks)))
    lines.append(("ms at 640x640, 1 thread", *(f"{rows[name]['ms']:.1f} ({ratios[name]['ms']:.0%})" for name in names)))
    return markdown(lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of a heading and rows, as wide as a terminal shows it well."""
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    ruled = (lines[0], ["-" * width for width in widths], *lines[1:])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in ruled)


def _on_scenes(
    detectors: dict[str, TeachingDetector],
    teacher: TeachingDetector,
    options: FiguresOptions,
    say: Callable[[str], None],
) -> dict[str, dict[str, float]]:
    photos = PhotoSet(options.photos)
    labelled = load_labelled(photos, photos.names, teacher, options.cache, say)
    known: list[GroundTruth] = []
    found: dict[str, list[Detections]] = {name: [] for name in detectors}
    for number in range(options.scenes):
        scene = compose(labelled, _SCENE_SIDE, np.random.default_rng((_SCENES_SEED, number)))
        known.append(GroundTruth(scene.boxes, scene.doubtful, _SCENE_SIDE, _SCENE_SIDE))
        for name, detector in detectors.items():
            found[name].append(detector.detect(ArrayImage(scene.picture), _LEAST_SCORE))
    return {name: _row(detectors[name], found[name], known) for name in detectors}


def _on_clip(
    detectors: dict[str, TeachingDetector], reference: TeachingDetector, clip: Path
) -> Iterator[tuple[str, dict[str, float]]]:
    known: list[GroundTruth] = []
    found: dict[str, list[Detections]] = {name: [] for name in detectors}
    for image in frames(clip):
        seen = reference.detect(image, _REFERENCE_DOUBTFUL)
        sure = seen.scores >= reference.spec.thresholds.score
        known.append(GroundTruth(seen.boxes[sure], seen.boxes[~sure], image.width, image.height))
        for name, detector in detectors.items():
            found[name].append(detector.detect(image, _LEAST_SCORE))
    for name, detector in detectors.items():
        yield name, _row(detector, found[name], known)


def _row(detector: TeachingDetector, found: Sequence[Detections], known: Sequence[GroundTruth]) -> dict[str, float]:
    """Recall where false alarms are just rare enough; and recall and false alarms at the spec's own threshold."""
    recall = recall_at(found, known, FALSE_ALARMS)
    threshold = detector.spec.thresholds.score
    own = [_above(one, threshold) for one in found]
    at_own = recall_at(own, known, np.inf)
    boxes = sum(len(one) for one in own)
    return {
        "faces": recall.faces,
        "recall": round(recall.recall, 4),
        "threshold": round(recall.threshold, 4),
        "recall_at_own_threshold": round(at_own.recall, 4),
        "boxes_per_picture_at_own_threshold": round(boxes / max(1, len(known)), 3),
    }


def _above(found: Detections, least_score: float) -> Detections:
    kept = found.scores >= least_score
    return Detections(found.boxes[kept], found.scores[kept], found.landmarks[kept])


def _on_empty_clip(detectors: dict[str, TeachingDetector], clip: Path) -> dict[str, dict[str, float]]:
    """How often a clip without a near face shows one, at the spec's threshold and by the highest score."""
    scores: dict[str, list[F32]] = {name: [] for name in detectors}
    for image in frames(clip):
        for name, detector in detectors.items():
            scores[name].append(detector.detect(image, _LEAST_SCORE).scores)
    rows = {}
    for name, detector in detectors.items():
        every = np.concatenate(scores[name])
        rows[name] = {
            "pictures": len(scores[name]),
            "boxes_at_own_threshold": int((every >= detector.spec.thresholds.score).sum()),
            "highest_score": round(float(every.max(initial=0.0)), 4),
        }
    return rows


def _landmarks(
    detectors: dict[str, TeachingDetector], teacher: TeachingDetector, photos: PhotoSet
) -> dict[str, dict[str, float]]:
    """Against the teacher's face nearest to a photo's middle: distances over that between its eyes."""
    errors: dict[str, list[float | None]] = {name: [] for name in detectors}
    for name in photos.names:
        image = photos.read(name)
        taught = teacher.detect(image)
        which = nearest_to_centre(taught, image)
        if which is not None:
            for student, detector in detectors.items():
                found = taught if detector is teacher else detector.detect(image)
                errors[student].append(_astray(found, taught, which, image))
    return {name: _summary(row) for name, row in errors.items()}


def _summary(errors: Sequence[float | None]) -> dict[str, float]:
    known = [error for error in errors if error is not None]
    mean, median, high = (np.mean(known), np.median(known), np.quantile(known, 0.95)) if known else (1.0, 1.0, 1.0)
    return {
        "photos": len(errors),
        "missed": len(errors) - len(known),
        "mean_error": round(float(mean), 4),
        "median_error": round(float(median), 4),
        "p95_error": round(float(high), 4),
    }


def _astray(found: Detections, taught: Detections, which: int, image: Image) -> float | None:
    same = iou(clipped(found.boxes, image.width, image.height), taught.boxes[which : which + 1])[:, 0]
    if not len(same) or same.max() < _SAME_FACE:
        return None
    points, truth = found.landmarks[int(same.argmax())], taught.landmarks[which]
    return float(np.hypot(*(points - truth).T).mean() / np.hypot(*(truth[1] - truth[0])))


def milliseconds(detectors: dict[str, TeachingDetector]) -> dict[str, dict[str, float]]:
    """One thread's time for one 640x640 picture: the networks alone, and with all that is around them."""
    image = ArrayImage(np.random.default_rng(0).integers(0, 256, (640, 640, 3)).astype(np.uint8))
    alone = by_turns(
        {name: partial(one.run, detect.prepare(one.spec, image).tensor[None]) for name, one in detectors.items()}
    )
    whole = by_turns({name: partial(one.detect, image) for name, one in detectors.items()})
    return {name: {"ms": alone[name], "ms_with_all": whole[name]} for name in detectors}


def frames(clip: Path) -> Iterator[ArrayImage]:
    """Every frame of a clip. Raises ClipUnreadable."""
    try:
        with av.open(str(clip)) as container:
            if not container.streams.video:
                raise ClipUnreadable(f"{clip} holds no video; choose another clip")
            for frame in container.decode(video=0):
                yield ArrayImage(np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8))
    except av.FFmpegError as error:
        raise ClipUnreadable(f"{clip} can't be read ({error.strerror}); check the path and the file") from None


def _ratios(rows: dict[str, dict[str, Any]], options: FiguresOptions) -> dict[str, dict[str, float]]:
    first = rows[options.detectors[0]]
    places = ["scenes", *(clip.stem for clip in options.clips)]
    return {
        name: {place: round(row[place]["recall"] / max(1e-6, first[place]["recall"]), 4) for place in places}
        | {"ms": round(row["ms"] / first["ms"], 3)}
        for name, row in rows.items()
    }


def _plain(options: FiguresOptions) -> dict[str, Any]:
    """The options without anybody's folders."""
    tree = asdict(options)
    for key in ("photos", "clips", "empty_clips"):
        value = tree[key]
        tree[key] = value.name if isinstance(value, Path) else [file.name for file in value]
    return {key: value for key, value in tree.items() if key not in ("weights_folders", "cache")}
