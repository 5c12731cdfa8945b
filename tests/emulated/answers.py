"""What the default models answer on this processor: nothing goes in, one JSON document on stdout comes out.

    python -m tests.emulated.answers [sums]

With `sums`, also what int8 sums do there. Run by the tests under emulators of other processors, where starting takes
longest: all is asked of one process, which imports no more than it needs.
"""

import json
import sys

import cv2
import numpy as np

from recognition import detect, embed
from recognition.checks.portraits import read_portraits
from recognition.models.manager import ModelManager


def answers() -> dict[str, object]:
    """The faces of the first portrait at 320 px as `nano_det` finds them, and its embedding by `nano_embed`.

    Both models are held to their specs, space and portraits first, as when the service loads them.
    """
    portrait = read_portraits()[0]
    manager = ModelManager([], device="cpu", portraits=True)
    detector, embedder = manager.open_detector("nano_det"), manager.open_embedder("nano_embed")
    small = cv2.resize(portrait.image().bgr(), (320, 320), interpolation=cv2.INTER_AREA)
    tensor = np.ascontiguousarray(small.transpose(2, 0, 1), dtype=np.float32)
    outputs = detector.run(tensor[None])
    found = detect.parse(detector.spec, outputs, detect.Prepared(tensor, 1.0), detector.spec.thresholds.score)
    crops = embed.crops(embedder.spec, portrait.image(), portrait.landmarks[None])
    return {
        "boxes": found.boxes.tolist(),
        "scores": found.scores.tolist(),
        "landmarks": found.landmarks.tolist(),
        "embedding": embedder.predict_embeddings(crops)[0].tolist(),
        "forms": {model.name: list(model.told) for model in (detector, embedder)},
    }


def sums() -> dict[str, object]:
    """What is found out of this processor, and how many steps crude int8 networks (weights of 8 bits) are off."""
    from recognition.runtimes.processor import this_processor
    from tests.recognition.runtimes.test_int8_forms import KINDS, answer, open_form, steps_away

    processor = this_processor()
    return {
        "exact_int8": processor.exact_int8,
        "sets": list(processor.sets),
        "steps_away": float(max(steps_away(answer(open_form(net.weights, "x"), net), net) for net in KINDS.values())),
    }


if __name__ == "__main__":
    json.dump(answers() | (sums() if "sums" in sys.argv[1:] else {}), sys.stdout)
