"""What every runtime gives: a network that takes a float32 batch, and the shapes that its spec says it has."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import numpy as np

from recognition import detect
from recognition.arrays import F32
from recognition.errors import SelfTestFailed, UnsupportedEngine, UnsupportedRuntime
from recognition.reason import Reason
from recognition.specs.devices import Device, gpu_number
from recognition.specs.spec import DetectorSpec, EmbedderSpec, ModelSpec

T = TypeVar("T")


class TensorRunner(Protocol):
    """A loaded network. `run` may be called from several threads at once."""

    @property
    def device(self) -> str: ...

    def run(self, batch: F32) -> list[F32]:
        """(n, 3, h, w) float32 -> the raw outputs. Blocks until they are there."""
        ...

    def close(self) -> None: ...


def where_asked(
    spec: ModelSpec,
    device: Device,
    on_cpu: Callable[[], T],
    on_gpu: Callable[[int], T | Reason],
    advice: Mapping[str, str],
) -> tuple[T, str, Reason | None]:
    """What was opened, on which device; on the CPU, and why, where `auto` could not have a GPU.

    on_gpu(its number) says why it can't be had; `advice`: what to do about each code of these. Raises
    UnsupportedEngine, UnsupportedRuntime, and what the two raise.
    """
    if device == "cpu":
        if spec.engine == "tensorrt":
            raise UnsupportedEngine(f"model {spec.name}: its engine is tensorrt, which has no CPU; use a GPU")
        return on_cpu(), "cpu", None
    opened = on_gpu(gpu_number(device))
    if not isinstance(opened, Reason):
        return opened, f"cuda:{gpu_number(device)}", None
    if device == "auto" and spec.engine != "tensorrt":
        return on_cpu(), "cpu", opened
    raise UnsupportedRuntime(
        f"model {spec.name}: device {device} was asked for, but {opened.why}; {advice[opened.code]}, or set "
        "recognition.device: auto"
    )


def output_widths(spec: ModelSpec) -> tuple[int, ...]:
    """How long the last axis of each raw output is, in the network's order: the spec's output schema."""
    if isinstance(spec, EmbedderSpec):
        return (spec.embedding_size, 1) if spec.feature_norm else (spec.embedding_size,)
    assert isinstance(spec, DetectorSpec)
    return tuple(width for width in detect.OUTPUT_WIDTHS[spec.family] for _ in detect.STRIDES)


def check_input(spec: ModelSpec, batch: F32) -> None:
    """Raises ValueError, which is a bug of ours, where this is no batch that the spec's network takes."""
    wide, high = spec.input.size
    sides, step = batch.shape[2:], spec.input.multiple
    fits = sides == (high, wide)
    if not fits and step is not None and len(sides) == 2:
        fits = all(0 < side <= most and not side % step for side, most in zip(sides, (high, wide), strict=True))
    if batch.ndim != 4 or batch.shape[1] != 3 or not fits or batch.dtype != np.float32:
        raise ValueError(f"model {spec.name}: want float32 (n, 3, {high}, {wide}), got {batch.dtype} {batch.shape}")


def check_widths(spec: ModelSpec, outputs: list[F32]) -> list[F32]:
    """The outputs as they came. Raises SelfTestFailed where they are not as many and as wide as the spec's."""
    widths = list(output_widths(spec))
    got = [output.shape[-1] if output.ndim else 0 for output in outputs]
    if got != widths:
        family = getattr(spec, "family", spec.role)
        raise SelfTestFailed(
            f"model {spec.name}: its outputs are {got} numbers wide, a {family} {spec.kind}'s {widths}; "
            "the spec's family or embedding_size is wrong"
        )
    return outputs


def check_outputs(spec: ModelSpec, outputs: list[F32]) -> list[F32]:
    """As check_widths(), and every number is finite."""
    check_widths(spec, outputs)
    if not all(np.isfinite(output).all() for output in outputs):
        raise SelfTestFailed(f"model {spec.name}: not all outputs are finite: bad weights or device")
    return outputs
