"""Model specs: one YAML file per model in model/specs/<role>/<name>.yaml -> a frozen, checked ModelSpec.

Blocks for a few small file reads; called once at start. Everything that the code needs to know about a set of
weights stands in its spec: nothing about a model is ever guessed from its file name.
"""

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from recognition.errors import ModelNotFound, SpecInvalid

Role = Literal["detector", "embedder"]
SpecName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]
Cosine = Annotated[float, Field(ge=-1, le=1)]
Rate = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputSpec(_Section):
    """What the network eats: float32 (n, 3, height, width), (x - mean) / std of pixels 0..255.

    `name` None: the graph's only input. `size` is (width, height). `multiple`: where given, width and height
    may also be any smaller multiple of it, so that rows which would be padding alone need not be computed.
    """

    name: str | None = None
    size: Annotated[tuple[int, int], Field(description="width, height")]
    color_order: Literal["rgb", "bgr"]
    mean: float
    std: Annotated[float, Field(gt=0)]
    multiple: Annotated[int, Field(gt=0)] | None = None


Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)]


class BatchBuckets(_Section):
    """The batch sizes worth running, by device: on CPUs not every model gains from more than one."""

    cpu: Sizes = (1,)
    cuda: Sizes = (1,)


class ModelSpec(_Section):
    """What is true of every model. `batch`: how many items the graph takes at once; `restore`: one, but for an edit
    that gives it its batch axis back (batch_axis.py). `sha256` is the weights file's, `source` says where to get it.
    """

    name: SpecName
    version: Annotated[int, Field(ge=1)]
    role: Role
    engine: Literal["onnx"]
    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: InputSpec
    batch: Literal["dynamic", "restore", 1]
    batch_buckets: BatchBuckets = BatchBuckets()
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


class DetectionThresholds(_Section):
    """A face counts from `score` on; of two boxes whose IoU is above `nms` the weaker one goes."""

    score: Rate
    nms: Rate


class DetectorSpec(ModelSpec):
    role: Literal["detector"]
    family: Literal["scrfd", "yunet"]
    thresholds: DetectionThresholds


class OperatingPoint(_Section):
    """At this cosine, a share `fmr` of impostor pairs passes, and a share `tmr` of genuine ones."""

    fmr: Annotated[float, Field(gt=0, lt=1)]
    cosine: Cosine
    tmr: Rate


class MatchThresholds(_Section):
    """Measured operating points; `verification` and `identification` name the rows for 1:1 and for 1:N."""

    measured_on: str
    verification: Annotated[float, Field(gt=0, lt=1)]
    identification: Annotated[float, Field(gt=0, lt=1)]
    table: Annotated[tuple[OperatingPoint, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rows_exist(self) -> Self:
        for use in ("verification", "identification"):
            self.cosine_at(getattr(self, use))
        return self

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
    """

    role: Literal["embedder"]
    family: Literal["arcface", "adaface", "facenet"]
    crop: Literal["arcface", "facenet"] = "arcface"
    feature_norm: bool = False
    embedding_size: Annotated[int, Field(ge=1)]
    space: SpecName
    thresholds: MatchThresholds

    @property
    def identification_threshold(self) -> float:
        """The cosine from which on a probe is called known in 1:N search, until the gallery is calibrated."""
        return self.thresholds.cosine_at(self.thresholds.identification)


AnySpec = Annotated[DetectorSpec | EmbedderSpec, Field(discriminator="role")]
_ADAPTER: TypeAdapter[DetectorSpec | EmbedderSpec] = TypeAdapter(AnySpec)


def bundled(part: Literal["specs", "spaces", "packs", "faces", "nano"]) -> Path:
    """Where a part of model/ lies: in a checkout there, else inside the installed package. `nano`: our own weights."""
    checkout = Path(__file__).resolve().parents[2] / "model" / part
    if checkout.is_dir():
        return checkout
    return Path(str(resources.files("recognition"))) / "bundled" / "model" / part


def load_specs(folder: Path | None = None, *, beside: Sequence[Path] = ()) -> dict[str, DetectorSpec | EmbedderSpec]:
    """Every spec under <folder>/<role>/<name>.yaml by name; `folder` None: the bundled ones.

    `beside`: weights folders, whose specs/ hold what `models import` and `models pull` wrote. None of them may
    take a name that is known already for other weights. Raises SpecInvalid naming file and key.
    """
    folder = bundled("specs") if folder is None else folder
    specs = {spec.name: spec for spec in map(read_spec, sorted(folder.glob("*/*.yaml")))}
    for file in (file for weights in beside for file in sorted((weights / "specs").glob("*/*.yaml"))):
        spec = read_spec(file)
        if specs.setdefault(spec.name, spec).sha256 != spec.sha256:
            raise SpecInvalid(f"spec {file}: name: {spec.name} is known already for other weights; delete this file")
    return specs


def read_spec(file: Path) -> DetectorSpec | EmbedderSpec:
    """One spec file -> its spec. The file's stem and folder must say the same name and role."""
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecInvalid(f"spec {file} can't be read ({error.strerror}); check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise SpecInvalid(f"spec {file}{f' line {mark.line + 1}' if mark else ''}: no YAML; mend it") from None
    try:
        spec = _ADAPTER.validate_python(tree)
    except ValidationError as error:
        raise SpecInvalid(f"spec {file}: {_first_complaint(error)}") from None
    for key, said, is_so in (("name", spec.name, file.stem), ("role", spec.role, file.parent.name)):
        if said != is_so:
            raise SpecInvalid(f"spec {file}: {key}: says {said}, but its path says {is_so}; make them agree")
    return spec


def find_spec(name: str, specs: Mapping[str, DetectorSpec | EmbedderSpec]) -> DetectorSpec | EmbedderSpec:
    """The spec of this name. Raises ModelNotFound, which names the nearest one there is."""
    if name in specs:
        return specs[name]
    near = difflib.get_close_matches(name, specs, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]}?" if near else "; there is no spec at all"
    raise ModelNotFound(f"model {name}: there is no spec of this name{hint}")


def _first_complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"].startswith("union_tag"):
        return "role: want detector or embedder"
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it"
    return f"{where}: {message[:1].lower()}{message[1:]}" if where else message
