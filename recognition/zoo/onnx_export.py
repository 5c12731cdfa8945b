"""A trained network -> an ONNX file: batch normalisations folded, in float32 or in static int8.

Blocks. Static scales keep a batch's answer equal to that of single calls; dynamic ones would not.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from recognition.arrays import F32

OPSET = 17
INPUT = "input"


def to_onnx(net: nn.Module, shape: Sequence[int], outputs: Sequence[str], dynamic: Sequence[int], out: Path) -> None:
    """Write `net`, which eats (1, *shape), as float32 ONNX; `dynamic`: the input's axes that may vary."""
    example = torch.zeros(1, *shape)
    axes = {INPUT: {axis: f"axis{axis}" for axis in dynamic}} | {name: {0: "axis0"} for name in outputs}
    with warnings.catch_warnings():
        # The exporter that torch recommends needs two more packages and changes its graphs with each release.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval().to("cpu", memory_format=torch.contiguous_format),
            (example,),
            str(out),
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


class _Samples(CalibrationDataReader):
    def __init__(self, samples: Iterable[F32]) -> None:
        self._samples: Iterator[F32] = iter(samples)

    def get_next(self) -> dict[str, F32] | None:
        sample = next(self._samples, None)
        return None if sample is None else {INPUT: sample}


def to_int8(source: Path, samples: Iterable[F32], out: Path, keep_float: Sequence[str] = ()) -> None:
    """Quantise statically, weights per channel, activations by the ranges that `samples` (1, *shape) show.

    QDQ form (Wu et al. 2020, https://arxiv.org/abs/2004.09602). Weights have 7 bits, see quantised.py. `keep_float`:
    names of nodes to leave in float32. What a last linear layer gives is not rounded.
    """
    with _only_errors(), tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(out),
            _Samples(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=list(keep_float),
            reduce_range=True,
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )


@contextmanager
def _only_errors() -> Iterator[None]:
    """The quantiser gives advice on the root logger that nobody here has asked for."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
