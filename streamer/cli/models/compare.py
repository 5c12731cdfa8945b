"""`models eval --against`: other models to measure a pack's beside, by turns in one run; options in, figures out.

Blocks for minutes. PyTorch is not needed: nothing is trained.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from recognition.errors import ClipUnreadable, ModelNotFound
from recognition.evaluation.detectors import FiguresOptions, as_table, frames, markdown, measure_detectors
from recognition.evaluation.timing import embedder_milliseconds
from recognition.specs.files import find_spec
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from recognition.training.teacher import TeachingDetector, TeachingEmbedder
from streamer.cli.options import note, print_line

Against = Annotated[
    str | None, typer.Option(help="Measure the detector beside this one: recall, landmarks, time.", metavar="SPEC")
]
AgainstEmbedder = Annotated[str | None, typer.Option(help="Time the embedder by turns with this one.", metavar="SPEC")]
Clips = Annotated[
    list[Path] | None,
    typer.Option("--clip", help="Recall on this clip, too (with --against). Repeatable.", metavar="FILE"),
]
ClipTruth = Annotated[str, typer.Option(help="The detector that says which faces are in the clips.", metavar="SPEC")]
EmptyClips = Annotated[
    list[Path] | None,
    typer.Option("--empty-clip", help="False alarms on this clip without faces. Repeatable.", metavar="FILE"),
]
Scenes = Annotated[int, typer.Option(min=1, help="Scenes composed of the photos (with --against).")]
Specs = Mapping[str, DetectorSpec | EmbedderSpec]


@dataclass(frozen=True, slots=True)
class Compare:
    """What to measure a detector and an embedder beside, and on what; None: not at all."""

    detector: str | None
    embedder: str | None
    clips: tuple[Path, ...]
    clip_truth: str
    empty_clips: tuple[Path, ...]
    scenes: int

    def check(self, detector: str, embedder: str | None, specs: Specs, weights_folders: tuple[Path, ...]) -> None:
        """Say what hinders before the long run. Raises BadParameter, ModelNotFound, ClipUnreadable, weights' errors."""
        if self.detector is None and (self.clips or self.empty_clips):
            raise typer.BadParameter("needs --against, a detector to measure beside", param_hint="--clip")
        twice = [
            stem for stem, times in Counter(one.stem for one in self.clips + self.empty_clips).items() if times > 1
        ]
        if twice:
            raise typer.BadParameter(f"two clips are called {twice[0]}; rename one", param_hint="--clip")
        if self.embedder is not None and embedder is not None:
            _check_pair("--against-embedder", embedder, self.embedder, specs, EmbedderSpec)
            TeachingEmbedder(self.embedder, weights_folders)
        if self.detector is not None:
            _check_pair("--against", detector, self.detector, specs, DetectorSpec)
            TeachingDetector(self.detector, weights_folders)
            if self.clips:
                _check_role("--clip-truth", self.clip_truth, specs, DetectorSpec)
                TeachingDetector(self.clip_truth, weights_folders)
        for clip in (*self.clips, *self.empty_clips):
            if next(frames(clip), None) is None:
                raise ClipUnreadable(f"{clip} holds no picture; choose another clip")

    def measure(
        self, detector: str, embedder: str | None, photos: Path, weights_folders: tuple[Path, ...]
    ) -> dict[str, Any]:
        """{"embedder_times": ..., "detector_figures": ...}, each where it was asked for."""
        found: dict[str, Any] = {}
        if self.embedder is not None and embedder is not None:
            times = embedder_milliseconds((self.embedder, embedder), weights_folders)
            found["embedder_times"] = {"ms": times, "ratio": round(times[embedder] / times[self.embedder], 3)}
        if self.detector is not None:
            with TemporaryDirectory(prefix="whosthere-eval-") as scratch:
                options = FiguresOptions(
                    detectors=(self.detector, detector),
                    reference=self.clip_truth,
                    photos=photos,
                    clips=self.clips,
                    empty_clips=self.empty_clips,
                    weights_folders=weights_folders,
                    cache=Path(scratch),
                    scenes=self.scenes,
                )
                found["detector_figures"] = measure_detectors(options, note)
        return found


def show_beside(found: dict[str, Any]) -> None:
    """What measure() found, as tables that a model card can take."""
    if "embedder_times" in found:
        times, ratio = found["embedder_times"]["ms"], found["embedder_times"]["ratio"]
        shares = zip(times.values(), (1.0, ratio), strict=True)
        print_line()
        print_line(
            markdown([("", *times), ("ms a face, 1 thread", *(f"{ms:.2f} ({share:.0%})" for ms, share in shares))])
        )
    if "detector_figures" in found:
        options = found["detector_figures"]["options"]
        truth = f"; the clips' faces as {options['reference']} sees them" if options["clips"] else ""
        print_line()
        print_line(f"{options['scenes']} scenes of {options['photos']}, labelled by {options['detectors'][0]}{truth}")
        print_line(as_table(found["detector_figures"]))


def _check_pair(option: str, own: str, other: str, specs: Specs, kind: type[DetectorSpec | EmbedderSpec]) -> None:
    _check_role(option, other, specs, kind)
    if own == other:
        raise typer.BadParameter(f"{other} is what is measured; name another one", param_hint=option)


def _check_role(option: str, name: str, specs: Specs, kind: type[DetectorSpec | EmbedderSpec]) -> None:
    spec = find_spec(name, specs)
    if not isinstance(spec, kind):
        wanted = "a detector" if kind is DetectorSpec else "an embedder"
        raise ModelNotFound(f"model {name} ({option}): is of role {spec.kind}; name {wanted}")
