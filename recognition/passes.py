"""What the CPU pool does before and after each of a detector's runs over one image.

Pure NumPy and OpenCV; for recogniser alone, which runs the networks in between.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recognition import close_ups, detect, second_look
from recognition.align import aligned_grey_crops
from recognition.arrays import F32
from recognition.detect import Prepared
from recognition.faces import Detections, Quality, Rows
from recognition.image import Image
from recognition.quality import grade, thumbnails
from recognition.second_look import Looked
from recognition.serving.model_slot import Answer
from recognition.serving.served_model import ServedModel
from recognition.specs.spec import DetectorSpec

Passed = Answer[DetectorSpec, tuple[Prepared, float]]
PassedBoth = Answer[DetectorSpec, tuple[Prepared, Prepared, float]]
PassedLook = Answer[DetectorSpec, tuple[Prepared, F32]]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The faces of one image; thumbs (n,16,16) float32, see quality.thumbnails. Times in seconds.

    prepare_s and grade_s are what the CPU pool worked before and after the detector's run.
    close_up: how much Recogniser.close_up() is called for, since a face may fill the picture.
    """

    detections: Detections
    quality: Quality
    thumbs: F32
    prepare_s: float
    queue_s: float
    run_s: float
    grade_s: float
    close_up: close_ups.Need = "none"

    def at(self, rows: Rows) -> "Found":
        """These faces alone, in this order."""
        return replace(
            self, detections=self.detections.at(rows), quality=self.quality.at(rows), thumbs=self.thumbs[rows]
        )


def trims(model: ServedModel[DetectorSpec], trim_padding: bool) -> bool:
    """Whether padding is spared: tensors of one batch need one shape, so only where batches are of one."""
    return trim_padding and model.max_batch == 1


def prepare(
    image: Image, trim_padding: bool, share: float, model: ServedModel[DetectorSpec]
) -> tuple[list[F32], tuple[Prepared, float]]:
    """The picture at this share of the scale at which it just fits."""
    started_s = time.perf_counter()
    scale = detect.fitting(model.spec, image) * share
    prepared = detect.prepare(model.spec, image, trim=trims(model, trim_padding), scale=scale)
    return [prepared.tensor], (prepared, time.perf_counter() - started_s)


def prepare_both(
    image: Image, trim_padding: bool, model: ServedModel[DetectorSpec]
) -> tuple[list[F32], tuple[Prepared, Prepared, float]]:
    """The picture at the scale at which it just fits, and at a close-up's, for one submit."""
    (first,), (prepared, first_s) = prepare(image, trim_padding, 1.0, model)
    (second,), (close, second_s) = prepare(image, trim_padding, close_ups.SHARE, model)
    return [first, second], (prepared, close, first_s + second_s)


def prepare_look(
    image: Image, landmarks: F32, trim_padding: bool, model: ServedModel[DetectorSpec]
) -> tuple[list[F32], tuple[Prepared, F32]]:
    """As many of the faces as fit into one input."""
    some = landmarks[: second_look.at_once(model.spec)]
    prepared = second_look.prepare(model.spec, image, some, trim=trims(model, trim_padding))
    return [prepared.tensor], (prepared, some)


def parse_both(answer: PassedBoth, least_score: float) -> Detections:
    """The faces of both passes, each once."""
    prepared, close, _ = answer.prepared
    first, second = (
        detect.parse(answer.model.spec, outputs, tensor, least_score)
        for outputs, tensor in zip(answer.served.outputs, (prepared, close), strict=True)
    )
    return close_ups.joined(first, second, prepared.scale)


def judge_looks(found: Detections, looks: Sequence[PassedLook], least_score: float) -> Looked:
    """What the looks at some of the n faces each, all of them together, say of them."""
    least = second_look.least_that_tells(found, least_score)
    seen = [second_look.parse(look.model.spec, look.served.outputs[0], *look.prepared, least) for look in looks] or [
        (np.empty((0, second_look.TURNS), np.float32), found.landmarks)
    ]
    scores, landmarks = (np.concatenate(part) for part in zip(*seen, strict=True))
    return second_look.judged(found, scores, landmarks, least_score)


def finish_both(
    image: Image, answer: PassedBoth, found: Detections, looks: Sequence[PassedLook], least_score: float
) -> Found:
    """The faces of both passes as the second look saw them, graded once."""
    started_s = time.perf_counter()
    looked = judge_looks(found, looks, least_score)
    seen = replace(found, landmarks=looked.landmarks)
    quality, thumbs = _graded(image, seen)
    prepare_s, served = answer.prepared[2], answer.served
    grade_s = time.perf_counter() - started_s
    return Found(seen, quality.looked_at(looked.turn), thumbs, prepare_s, served.queue_s, served.run_s, grade_s)


def finish(image: Image, answer: Passed, least_score: float, sure_score: float) -> Found:
    started_s = time.perf_counter()
    (prepared, prepare_s), served = answer.prepared, answer.served
    detections = detect.parse(answer.model.spec, served.outputs[0], prepared, least_score)
    quality, thumbs = _graded(image, detections)
    need = close_ups.need(detections, image, prepared.scale, sure_score)
    grade_s = time.perf_counter() - started_s
    return Found(detections, quality, thumbs, prepare_s, served.queue_s, served.run_s, grade_s, need)


def candidates(answer: Passed, least_score: float, most: int) -> Detections:
    return detect.candidates(answer.model.spec, answer.served.outputs[0], answer.prepared[0], least_score, most)


def finish_close_up(image: Image, first: Found, answer: Passed, least_score: float) -> Found:
    started_s = time.perf_counter()
    (prepared, prepare_s), served = answer.prepared, answer.served
    close = detect.parse(answer.model.spec, served.outputs[0], prepared, least_score)
    detections = close_ups.joined(first.detections, close, prepared.scale / close_ups.SHARE)
    quality, thumbs = _graded(image, detections)
    return Found(
        detections,
        quality,
        thumbs,
        first.prepare_s + prepare_s,
        first.queue_s + served.queue_s,
        first.run_s + served.run_s,
        first.grade_s + time.perf_counter() - started_s,
    )


def _graded(image: Image, detections: Detections) -> tuple[Quality, F32]:
    grey = aligned_grey_crops(image, detections.landmarks)
    return grade(grey, detections.landmarks), thumbnails(grey)
