"""What a configuration may say of a model otherwise than its spec does: the settings need this much of a spec.

Pure; any thread.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from recognition.specs.devices import Device

Runtime = Literal["inprocess", "triton"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]


class SpecSection(BaseModel):
    """What every part of a spec is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)]


class BatchBuckets(SpecSection):
    """The batch sizes worth running, by device: on CPUs not every model gains from more than one."""

    cpu: Sizes = (1,)
    cuda: Sizes = (1,)


class TritonModel(SpecSection):
    """The model's name and version on a Triton server; which server, the configuration says."""

    model: str
    version: Annotated[str, Field(pattern=r"^[1-9]\d*$")]


class SpecProfile(SpecSection):
    """What a configuration may say otherwise than a spec does; None: as the spec has it."""

    runtime: Runtime | None = None
    precision: Precision | None = None
    device_policy: Device | None = None
    batch_buckets: BatchBuckets | None = None
    triton: TritonModel | None = None
