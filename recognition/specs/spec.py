"""Model specs: one YAML file per model in model/specs/<role>/<name>.yaml -> a frozen, checked ModelSpec.

Blocks for a few small file reads; called once at start. Everything that the code needs to know about a set of
weights stands in its spec: nothing about a model is ever guessed from its file name.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from recognition.errors import SpecInvalid
from recognition.near_names import did_you_mean
from recognition.specs.devices import Device
from recognition.specs.profile import BatchBuckets, Precision, Runtime, SpecProfile, SpecSection, TritonModel

Role = Literal["face_detection", "face_embedding", "face_liveness", "classifier"]
_KINDS: Mapping[Role, str] = {
    "face_detection": "detector",
    "face_embedding": "embedder",
    "face_liveness": "liveness model",
    "classifier": "classifier",
}
Engine = Literal["onnx", "torch", "tensorrt"]
ArtifactName = Annotated[str, Field(pattern=r"^[^/\\]+$", description="a file's name in one of the weights folders")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SpecName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Rate = Annotated[float, Field(ge=0, le=1)]


ACCURACY_FMR = 1e-4


class InputSpec(SpecSection):
    """What the network eats: float32 (n, 3, height, width), (x - mean) / std of pixels 0..255.

    `name` None: the graph's only input. `size` is (width, height). `multiple`: where given, width and height
    may also be any smaller multiple of it, so that rows which would be padding alone need not be computed.
    """

    name: str | None = None
    size: Annotated[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]], Field(description="width, height")]
    color_order: Literal["rgb", "bgr"]
    mean: float
    std: Annotated[float, Field(gt=0)]
    multiple: Annotated[int, Field(gt=0)] | None = None


class BatchNeeds(SpecSection):
    """Measured for batches of one size: all memory that the model takes then, and what a run takes."""

    memory_mib: Annotated[float, Field(ge=0)]
    run_ms: Annotated[float, Field(ge=0)]


class Needs(SpecSection):
    """Measured needs by device and batch size. `cpu` is RAM and one core, `cuda` is VRAM; nothing is estimated."""

    measured_on: str
    cpu: dict[int, BatchNeeds] = Field(default_factory=dict)
    cuda: dict[int, BatchNeeds] = Field(default_factory=dict)


class ModelSpec(SpecSection):
    """What is true of every model. `batch`: how many items the graph takes at once; `restore`: one, but for an edit
    that gives it its batch axis back (batch_axis.py).

    `weights_digest`: SHA-256 of the artifact (of several: of the list of theirs, weights.digest_of()); null where
    nothing is published that could be named: `models convert` writes the spec anew, with it. `architecture`: which of
    recognition.architectures the weights are for. `needs` null: nobody measured.
    """

    name: SpecName
    version: Annotated[int, Field(ge=1)]
    role: Role
    runtime: Runtime = "inprocess"
    engine: Engine
    precision: Precision
    device_policy: Device = "auto"
    local_artifacts: tuple[ArtifactName, ...] = ()
    weights_digest: Digest | None = None
    architecture: str | None = None
    triton: TritonModel | None = None
    input: InputSpec
    batch: Literal["dynamic", "restore", 1]
    batch_buckets: BatchBuckets = BatchBuckets()
    needs: Needs | None = None
    licence: str
    source: str

    @model_validator(mode="after")
    def _buckets_fit(self) -> Self:
        for device, sizes in self.batch_buckets:
            if sorted(set(sizes)) != list(sizes) or sizes[0] != 1:
                raise ValueError(f"batch_buckets.{device}: want rising sizes that begin with 1")
            if self.batch == 1 and sizes != (1,):
                raise ValueError(f"batch_buckets.{device}: a model with batch: 1 has the one bucket 1")
        return self

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if self.runtime == "triton" and self.triton is None:
            raise ValueError("triton: a model with runtime: triton needs the model's name and version on the server")
        if self.engine == "torch" and self.architecture is None:
            raise ValueError("architecture: a model with engine: torch needs the name of its network")
        if self.runtime == "inprocess" and not self.local_artifacts and not getattr(self, "members", ()):
            raise ValueError("local_artifacts: a model that runs in this process needs a file of weights")
        return self

    @property
    def file(self) -> str:
        """The first artifact's name: the network itself."""
        return self.local_artifacts[0] if self.local_artifacts else ""

    @property
    def kind(self) -> str:
        """The role in a word: detector, embedder."""
        return _KINDS[self.role]

    @property
    def short_digest(self) -> str:
        """The digest's first twelve digits, for people."""
        return (self.weights_digest or "unknown")[:12]

    @property
    def preprocessing_signature(self) -> str:
        """16 hex digits that change with whatever is done to pixels before they reach the network."""
        parts = self.input.model_dump(mode="json", exclude={"name"}) | {"crop": getattr(self, "crop", "letterbox")}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def with_profile(self, profile: SpecProfile) -> Self:
        """The spec as a configuration wants it. Raises SpecInvalid where the two do not go together."""
        changes = {key: value for key, value in profile.model_dump(mode="json").items() if value is not None}
        if profile.precision not in (None, self.precision) and self.engine != "torch":
            raise SpecInvalid(
                f"recognition.profiles.{self.name}: precision: with engine {self.engine} it is the file's, "
                f"{self.precision}; only PyTorch runs one file in several"
            )
        if changes.keys() & {"precision", "runtime"}:
            changes["needs"] = None  # they were measured otherwise
        try:
            return type(self).model_validate({**self.model_dump(mode="json"), **changes})
        except ValidationError as error:
            raise SpecInvalid(f"recognition.profiles.{self.name}: {complaint(error)[1]}") from None


class DetectionThresholds(SpecSection):
    """A face counts from `score` on; of two boxes whose IoU is above `nms` the weaker one goes."""

    score: Rate
    nms: Rate


class DetectorSpec(ModelSpec):
    role: Literal["face_detection"]
    family: Literal["scrfd", "yunet"]
    thresholds: DetectionThresholds

    @property
    def default_threshold(self) -> float:
        """The score from which on a face counts."""
        return self.thresholds.score


class OperatingPoint(SpecSection):
    """At this cosine, a share `fmr` of impostor pairs passes, and a share `tmr` of genuine ones; null: not measured."""

    fmr: Annotated[float, Field(gt=0, lt=1)]
    cosine: Cosine
    tmr: Rate | None


_NOT_MEASURED = "not measured"
# The batches of a network that takes any: an embedder's, a detector's.
EMBEDDER_BUCKETS = BatchBuckets(cpu=(1, 2, 4, 8), cuda=(1, 2, 4, 8, 16, 32))
DETECTOR_BUCKETS = BatchBuckets(cpu=(1,), cuda=(1, 2, 4, 8))


class MatchThresholds(SpecSection):
    """Operating points; `verification` and `identification` name the rows for 1:1 and for 1:N.

    `measured_on` that begins with "not measured" says that they are guesses on the safe side.
    """

    measured_on: str
    verification: Annotated[float, Field(gt=0, lt=1)]
    identification: Annotated[float, Field(gt=0, lt=1)]
    table: Annotated[tuple[OperatingPoint, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rows_exist(self) -> Self:
        for use in ("verification", "identification"):
            self.cosine_at(getattr(self, use))
        return self

    @classmethod
    def unmeasured(cls, verification: float, identification: float) -> Self:
        """Guesses on the safe side: above what any model of the kind that was measured needs at these rates."""
        return cls(
            measured_on=f"{_NOT_MEASURED}: values on the safe side; `whosthere models eval --thresholds` measures them",
            verification=1e-3,
            identification=1e-5,
            table=(
                OperatingPoint(fmr=1e-3, cosine=verification, tmr=None),
                OperatingPoint(fmr=1e-5, cosine=identification, tmr=None),
            ),
        )

    @property
    def measured(self) -> bool:
        return not self.measured_on.startswith(_NOT_MEASURED)

    def cosine_at(self, fmr: float) -> float:
        """The cosine of the table's row for this false-match rate. Raises ValueError where there is none."""
        for row in self.table:
            if row.fmr == fmr:
                return row.cosine
        raise ValueError(f"no row for fmr {fmr:g}; the table has {', '.join(f'{r.fmr:g}' for r in self.table)}")


class EmbedderSpec(ModelSpec):
    """`space` names the embedding space: two models share it only if their embeddings may be compared.

    `crop`: how a face is cut out, see recognition.align: turned upright onto ArcFace's template, or as facenet-pytorch
    does it. `feature_norm`: a second output says how long each embedding was before it was made a unit vector.

    `sample`: its embedding of the bundled portrait, base64 of float16, which the self-test holds a fresh one to.

    `members`: an ensemble of two embedders that take the same crops. `concat_l2`: their unit vectors side by side are
    one embedding, in a space of its own; `agree`: a name is given only where both, each in its own space, give it.
    """

    role: Literal["face_embedding"]
    family: Literal["arcface", "adaface", "facenet"]
    crop: Literal["arcface", "facenet"] = "arcface"
    feature_norm: bool = False
    embedding_size: Annotated[int, Field(ge=1)]
    space: SpecName
    sample: str | None = None
    members: tuple[SpecName, ...] = ()
    merge: Literal["concat_l2", "agree"] | None = None
    thresholds: MatchThresholds

    @model_validator(mode="after")
    def _is_one_or_two(self) -> Self:
        if (self.merge is None) != (not self.members):
            raise ValueError("merge: an ensemble has members and merge, any other model neither")
        if self.members and (len(self.members) != 2 or self.members[0] == self.members[1]):
            raise ValueError("members: want two different models")
        if self.members and self.local_artifacts:
            raise ValueError("local_artifacts: an ensemble has none, its members do")
        return self

    @property
    def matched_by(self) -> tuple[SpecName, ...]:
        """The models in whose spaces its faces are matched: itself, or, where two have to agree, each of them."""
        return self.members if self.merge == "agree" else (self.name,)

    @property
    def accuracy(self) -> float | None:
        """The measured true-match rate at a false-match rate of 1e-4, what models are compared by; None: not known."""
        rows = (row.tmr for row in self.thresholds.table if row.fmr == ACCURACY_FMR)
        return next(rows, None) if self.thresholds.measured else None

    @property
    def identification_threshold(self) -> float:
        """The cosine from which on a probe is called known in 1:N search, until the gallery is calibrated."""
        return self.thresholds.cosine_at(self.thresholds.identification)

    @property
    def default_threshold(self) -> float:
        """The cosine of 1:N search."""
        return self.identification_threshold


AnySpec = Annotated[DetectorSpec | EmbedderSpec, Field(discriminator="role")]
S = TypeVar("S", DetectorSpec, EmbedderSpec)


def signature_of(*specs: AnySpec) -> str:
    """16 hex digits for models that work together: other ones whenever their answers may be others."""
    parts = [
        f"{spec.name}:{spec.version}:{spec.weights_digest}:{spec.precision}:{spec.preprocessing_signature}"
        for spec in specs
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


_KEYS = tuple({**DetectorSpec.model_fields, **EmbedderSpec.model_fields, **InputSpec.model_fields})


def complaint(error: ValidationError) -> tuple[tuple[int | str, ...], str]:
    """Where in the tree the first complaint is, and what it says."""
    complaints = error.errors(include_url=False, include_context=False)
    # A key that is mistyped is missing, too: the one that is there is what has to be mended.
    first = next((one for one in complaints if one["type"] == "extra_forbidden"), complaints[0])
    if first["type"].startswith("union_tag"):
        return ("role",), "role: want face_detection or face_embedding"
    loc = tuple(part for part in first["loc"] if part not in ("face_detection", "face_embedding"))
    where = ".".join(str(part) for part in loc)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        missing = [str(one["loc"][-1]) for one in complaints if one["type"] == "missing"]
        return loc, f"{where}: unknown key{did_you_mean(str(loc[-1]), [*missing, *_KEYS], 'remove it')}"
    if not loc and (named := re.match(r"([a-z_]+(?:\.[a-z_]+)*): ", message)):
        return tuple(named[1].split(".")), message
    return loc, f"{where}: {message[:1].lower()}{message[1:]}" if where else message
