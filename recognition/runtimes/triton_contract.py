"""What a Triton server must say about a model, and how its answers must look, for the model to be the spec's.

Specs and what the server tells go in, a Contract or TritonModelMismatch comes out. Pure NumPy; on any thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recognition import detect
from recognition.arrays import F32
from recognition.errors import TritonModelMismatch
from recognition.runtimes.tensor_runner import output_widths
from recognition.specs.spec import EmbedderSpec, ModelSpec

ANY = -1
PROBE_PX = 160  # the coarsest stride's cells are enough to tell networks apart
# Another precision or backend of the same weights stays below; other weights do not.
_LARGEST_CHANGE = 0.05


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output in the server's metadata; -1 in `shape` stands for any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Contract:
    """What was agreed on: names, how wide each output is, how many items a call may hold (None: any number)."""

    input: str
    outputs: tuple[str, ...]
    widths: tuple[int, ...]
    max_batch: int | None


def agree(
    spec: ModelSpec, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], max_batch: int, who: str
) -> Contract:
    """The server's metadata held against the spec. `max_batch` 0: the server leaves the first axis alone.

    Raises TritonModelMismatch, which says both; `who` names model and server.
    """
    wide, high = spec.input.size
    # Where smaller pictures come too, a server with a fixed size would refuse them one day.
    sides = (ANY, ANY) if spec.input.multiple else (high, wide)
    count = ANY if spec.batch == "dynamic" else 1
    name = spec.input.name or (inputs[0].name if inputs else "input")
    wanted = TensorInfo(name, "FP32", (count, 3, *sides))
    if len(inputs) != 1 or not _accepts(inputs[0], wanted):
        raise TritonModelMismatch(f"{who}: takes {_listed(inputs)}, the spec wants {wanted}; {_ADVICE}")
    widths = output_widths(spec)
    told = [output.shape[-1] if output.shape else 0 for output in outputs]
    kinds = {output.datatype for output in outputs}
    if (
        kinds - {"FP32"}
        or len(told) != len(widths)
        or any(t not in (w, ANY) for t, w in zip(told, widths, strict=True))
    ):
        raise TritonModelMismatch(
            f"{who}: gives {_listed(outputs)}, the spec wants FP32 outputs {list(widths)} numbers wide, in the "
            f"network's order; {_ADVICE}"
        )
    return Contract(name, tuple(output.name for output in outputs), widths, max_batch or None)


_ADVICE = "serve the spec's model there, or mend the spec"


def _accepts(told: TensorInfo, wanted: TensorInfo) -> bool:
    same = (told.name, told.datatype, len(told.shape)) == (wanted.name, wanted.datatype, len(wanted.shape))
    return same and all(t in (w, ANY) for t, w in zip(told.shape, wanted.shape, strict=True))


def _listed(tensors: Sequence[TensorInfo]) -> str:
    return ", ".join(map(str, tensors)) or "nothing"


def check_answer(contract: Contract, items: int, outputs: Sequence[F32 | None], who: str) -> list[F32]:
    """The outputs of a call with so many items, writable. Raises TritonModelMismatch where they have another shape."""
    checked: list[F32] = []
    for name, width, output in zip(contract.outputs, contract.widths, outputs, strict=True):
        if output is None or output.dtype != np.float32 or output.ndim < 2 or output.shape[-1] != width:
            got = "nothing" if output is None else f"{output.dtype} {list(output.shape)}"
            raise TritonModelMismatch(f"{who}: its output {name} is {got}, want float32 {width} numbers wide")
        if contract.max_batch and output.shape[0] != items:
            raise TritonModelMismatch(f"{who}: {items} items gave {output.shape[0]} rows of {name}")
        checked.append(output.copy())
    return checked


def check_order(spec: ModelSpec, contract: Contract, outputs: Sequence[F32], who: str) -> None:
    """Raises TritonModelMismatch where a detector's outputs of one width are not in the order of the strides."""
    if isinstance(spec, EmbedderSpec):
        return
    strides = len(detect.STRIDES)
    for first in range(0, len(outputs), strides):
        rows = [output.shape[-2] for output in outputs[first : first + strides]]
        if rows != sorted(set(rows), reverse=True):
            raise TritonModelMismatch(
                f"{who}: its outputs {', '.join(contract.outputs[first : first + strides])} have {rows} rows, want "
                "them from the finest stride to the coarsest; list them in config.pbtxt in the network's order"
            )


def probe_tensor(spec: ModelSpec) -> F32:
    """(1, 3, h, w): a fixed pattern over the whole range of the input; another model answers it differently.

    A network that takes pictures of any size is asked by a small one: it comes before the pictures of others.
    """
    multiple = spec.input.multiple
    wide, high = spec.input.size
    if multiple:
        wide, high = (min(side, -(-PROBE_PX // multiple) * multiple) for side in (wide, high))
    channel, y, x = np.mgrid[0:3, 0:high, 0:wide]
    pixels = 127.5 + 127.5 * np.sin(x * 14 / wide + channel) * np.cos(y * 11 / high - channel)
    tensor: F32 = ((pixels - spec.input.mean) / spec.input.std).astype(np.float32)[None]
    return tensor


def same_answers(before: Sequence[F32], now: Sequence[F32]) -> bool:
    """Whether two runs of one batch are from one model, whatever precision it runs in."""
    return all(
        a.shape == b.shape and float(np.linalg.norm(a - b)) <= _LARGEST_CHANGE * float(np.linalg.norm(a)) + 1e-6
        for a, b in zip(before, now, strict=True)
    )
