"""One frame on its way: what is known of it so far, and where its time went. Data alone; on the loop."""

from dataclasses import dataclass, field

from recognition.arrays import F32
from recognition.embed import usable as usable_rows
from recognition.recogniser import Embedded, Found
from streamer.ingest.frame import Frame
from streamer.pipeline.tracking import Sighting, Track
from streamer.telemetry.metrics import Metrics


@dataclass(slots=True, eq=False)
class Walk:
    """What is known of a frame on its way; `taken_s`: when it was taken from its source (monotonic).

    `looked_s`: how long the second look at its faces took, its wait in the queue included. `good`: faces that may be
    kept, each with its track and embedding; where visits are kept.
    """

    frame: Frame
    taken_s: float
    found: Found
    embedded: Embedded | None = None
    looked_s: float = 0.0
    good: list[tuple[Track, Sighting, F32]] = field(default_factory=list)

    @property
    def waited_s(self) -> float:
        """Seconds that the frame lay in the mailbox and in the detector's queue."""
        frame = self.frame
        return max(self.taken_s - frame.captured_s - frame.decode_s, 0.0) + self.found.queue_s

    @property
    def detect_s(self) -> float:
        """Seconds of work on the frame before and after the detector's runs, and of the runs."""
        return self.found.prepare_s + self.found.run_s + self.found.grade_s + self.looked_s


def observe(walk: Walk, camera: str, metrics: Metrics) -> None:
    """Count the frame and where its time went."""
    embedded = walk.embedded
    metrics.frames.labels(camera=camera, outcome="processed").inc()
    metrics.faces_detected.labels(camera=camera).inc(len(walk.found.detections))
    for score in walk.found.quality.score.tolist():
        metrics.face_quality.labels(camera=camera).observe(score)
    stages = metrics.stage_seconds
    stages["decode"].observe(walk.frame.decode_s)
    stages["queue"].observe(walk.waited_s)
    stages["detect"].observe(walk.detect_s)
    if embedded is not None:
        metrics.embeddings.labels(model=embedded.model).inc(int(usable_rows(embedded.embeddings).sum()))
        stages["align"].observe(embedded.align_s)
        stages["embed"].observe(embedded.queue_s + embedded.run_s)
