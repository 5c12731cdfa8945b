"""A model's ONNX file -> TensorRT's plan of it, for the GPU that this runs on: scripts/make-tensorrt-plan.py MODEL

    .venv/bin/python scripts/make-tensorrt-plan.py arcface_w600k_mbf --models ../shared/models --out plans --fp16
    whosthere models triton-repo arcface_w600k_mbf --plans plans --out triton-models

Needs trtexec of the same TensorRT as the server's: Triton's own image has it in /usr/src/tensorrt/bin. A plan is good
for that version and that kind of GPU alone. --dry-run prints the command. Blocks for the minutes that it takes.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from recognition.errors import CodedError
from recognition.runtimes.onnx_session import open_session
from recognition.specs.files import find_spec, load_specs
from recognition.specs.spec import AnySpec
from recognition.specs.weights import read_weights
from recognition.zoo.triton_repository import refuse_unservable, servable_graph

TRTEXEC = ("trtexec", "/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec")
NEXT = """next    whosthere models triton-repo {name} --plans {out} --out triton-models
        and with that repository served, and the configuration that the command tells, hold it to the spec, its
        embedding space and the portraits, and measure it:
        whosthere models selftest {name}
        whosthere models bench {name}"""


def main(words: Sequence[str] | None = None) -> int:
    asked = _asked(words)
    try:
        spec = find_spec(asked.model, load_specs(beside=asked.models))
        refuse_unservable(spec, as_plan=True)
        graph = servable_graph(spec, read_weights(spec, asked.models))
        taken = spec.input.name or open_session(graph).get_inputs()[0].name
    except CodedError as error:
        sys.stderr.write(f"make-tensorrt-plan: {error} [{error.code}]\n")
        return 1
    onnx, plan = asked.out / f"{spec.name}.onnx", asked.out / f"{spec.name}.plan"
    trtexec = asked.trtexec or next((found for name in TRTEXEC if (found := shutil.which(name))), None)
    command = [trtexec or TRTEXEC[0], *arguments(spec, taken, onnx, plan.with_suffix(".part"), fp16=asked.fp16)]
    if asked.dry_run:
        sys.stdout.write(shlex.join(command) + "\n")
        return 0
    if trtexec is None:
        sys.stderr.write(
            "make-tensorrt-plan: there is no trtexec here; run this in NVIDIA's image of Triton or TensorRT, or say "
            "--trtexec PATH\n"
        )
        return 1
    return build(spec, graph, command, onnx, plan)


def arguments(spec: AnySpec, taken: str, onnx: Path, plan: Path, *, fp16: bool) -> list[str]:
    """trtexec's: one profile from one item to the largest batch of the spec, made for the one in the middle.

    What goes in and comes out stays float32. A detector's pictures may be cut to any multiple that its spec names.
    """
    wide, high = spec.input.size
    least = (spec.input.multiple,) * 2 if spec.input.multiple else (wide, high)
    buckets = spec.batch_buckets.cuda
    shapes = {"min": (1, *least), "opt": (buckets[len(buckets) // 2], wide, high), "max": (buckets[-1], wide, high)}
    told = [f"--onnx={onnx}", f"--saveEngine={plan}", "--skipInference"]
    if spec.batch != 1 or spec.input.multiple:  # else nothing of its shape varies
        told += [f"--{which}Shapes={taken}:{n}x3x{h}x{w}" for which, (n, w, h) in shapes.items()]
    if fp16 or spec.precision == "fp16":
        told.append("--fp16")
    return told


def build(spec: AnySpec, graph: bytes, command: Sequence[str], onnx: Path, plan: Path) -> int:
    """The plan gets its name once it is whole."""
    part = plan.with_suffix(".part")
    try:
        onnx.parent.mkdir(parents=True, exist_ok=True)
        onnx.write_bytes(graph)
        ended = subprocess.run(command, check=False)
        if ended.returncode or not part.is_file():
            sys.stderr.write(f"make-tensorrt-plan: trtexec gave no plan (exit code {ended.returncode}); see above\n")
            return 1
        part.replace(plan)
    except OSError as error:
        sys.stderr.write(f"make-tensorrt-plan: {plan} can't be made ({error.strerror}); check the folder and trtexec\n")
        return 1
    finally:
        part.unlink(missing_ok=True)
    sys.stdout.write(f"here    {plan}: {plan.stat().st_size / 1e6:.1f} MB\n")
    sys.stdout.write(NEXT.format(name=spec.name, out=plan.parent) + "\n")
    return 0


def _asked(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A model's ONNX file -> TensorRT's plan, for this machine's GPU.")
    parser.add_argument("model", help="a model, as `whosthere models list` has it")
    parser.add_argument("--models", type=Path, action="append", default=[], metavar="FOLDER", help="with its weights")
    parser.add_argument("--out", type=Path, default=Path("plans"), metavar="FOLDER", help="for MODEL.plan")
    parser.add_argument("--fp16", action="store_true", help="compute in half precision; the parity is for you to check")
    parser.add_argument("--trtexec", metavar="PATH", help="TensorRT's program")
    parser.add_argument("--dry-run", action="store_true", help="print its command, and run nothing")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
