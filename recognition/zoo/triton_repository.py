"""Specs and weights in, a model repository for a Triton server out: a folder a model, whole or not at all.

Blocks for the weights' reads and writes, and for a few runs of each network on the CPU: what is written has answered
a batch as its pictures alone, and would be accepted by the service that asks for it (triton_contract.py).
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recognition.errors import (
    RepositoryExists,
    SelfTestFailed,
    SpecInvalid,
    UnsupportedEngine,
    WeightsFolderUnwritable,
    WeightsMissing,
)
from recognition.runtimes.int8_forms import open_form
from recognition.runtimes.onnx_batch_axis import with_batch_axis, with_output_shapes
from recognition.runtimes.onnx_session import Session, refusals
from recognition.runtimes.tensor_runner import check_outputs, output_widths
from recognition.runtimes.triton_client import need_tritonclient
from recognition.runtimes.triton_contract import ANY, TensorInfo, agree, probe_tensor, same_answers
from recognition.specs.profile import TritonModel
from recognition.specs.spec import AnySpec
from recognition.specs.weights import find_artifacts, read_weights
from recognition.whole_file import sync_folder
from recognition.zoo.triton_config import RepositoryModel, RepositoryOptions, config_text

LICENCES = "LICENCES.txt"
_DARKER = 40.0  # of 255
_ONNX, _PLAN = "model.onnx", "model.plan"


@dataclass(frozen=True, slots=True)
class Written:
    """A model that a repository has, how it is told to the service, and how many bytes its file has."""

    model: RepositoryModel
    size: int


def write_repository(
    specs: Sequence[AnySpec],
    folders: Sequence[Path],
    out: Path,
    *,
    names: Mapping[str, TritonModel],
    options: RepositoryOptions,
    plans: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Written]:
    """Write `out`, which may not be there yet, or be empty. `names`: what models are called on the server, where not
    by their specs' own names and versions. `plans`: a folder with a TensorRT plan of each, NAME.plan.

    Raises RepositoryExists, UnsupportedEngine, UnsupportedRuntime, WeightsMissing, WeightsDigestMismatch,
    WeightsUnreadable, SelfTestFailed, TritonModelMismatch, SpecInvalid (two of one name), WeightsFolderUnwritable.
    """
    need_tritonclient()
    _refuse_existing(out)
    placed = {spec.name: names.get(spec.name) or _own_name(spec) for spec in specs}
    _refuse_doubles(placed)
    for spec in specs:
        refuse_unservable(spec, as_plan=plans is not None)
        find_artifacts(spec, folders)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            written = []
            for spec in specs:
                tell(f"{spec.name}: reading and trying its weights")
                written.append(_write(spec, placed[spec.name], folders, draft, options, plans))
            terms = [f"{spec.name}\n  licence: {spec.licence}\n  source:  {spec.source}\n" for spec in specs]
            _put(draft / LICENCES, "".join(terms).encode())
            _make_readable(draft)
            draft.rename(out)  # onto a folder that is empty, too
            sync_folder(out.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise WeightsFolderUnwritable(
            f"repository {out} can't be written ({error.strerror}); make room, or choose another folder; nothing was "
            "changed"
        ) from None
    return written


def servable_graph(spec: AnySpec, weights: bytes) -> bytes:
    """The ONNX file that a server is given: with its batch axis, where the spec says to restore it, and with the
    shapes of its answers, without which Triton takes no batches. Raises UnsupportedRuntime, WeightsUnreadable.
    """
    if spec.batch != "restore":
        return weights
    who = f"model {spec.name}"
    return with_output_shapes(with_batch_axis(weights, who), output_widths(spec))


def described(spec: AnySpec, triton: TritonModel, weights: bytes) -> RepositoryModel:
    """What the graph itself says of its tensors, after it was tried. Raises as write_repository()."""
    who = f"model {spec.name}"
    try:
        session = open_form(weights, who).session
        shown = _input(spec, session)
        _try(spec, session, shown.name)
    except refusals() as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise SelfTestFailed(f"{who}: ONNX Runtime can't run it as its spec says ({first})") from None
    outputs = []
    for output, width in zip(session.get_outputs(), output_widths(spec), strict=True):
        shape = tuple(side if isinstance(side, int) else ANY for side in output.shape[:-1])
        if spec.batch != 1 and shape[:1] != (ANY,):
            raise SelfTestFailed(
                f"{who}: its graph does not say that {output.name} has as many rows as its input, without which Triton "
                "takes no batches; export it with a dynamic axis there"
            )
        outputs.append(TensorInfo(output.name, "FP32", (*shape, width)))
    model = RepositoryModel(spec, triton, "onnxruntime", _ONNX, shown, tuple(outputs), batched=spec.batch != 1)
    agree(spec, [model.input], list(model.outputs), model.max_batch, f"{who} as Triton would show it")
    return model


def _input(spec: AnySpec, session: Session) -> TensorInfo:
    """What the spec wants to give it. Raises SelfTestFailed where the graph takes something else."""
    sides = (ANY, ANY) if spec.input.multiple else (spec.input.size[1], spec.input.size[0])
    wanted = (1 if spec.batch == 1 else ANY, 3, *sides)
    told = [
        (one.name, tuple(side if isinstance(side, int) else ANY for side in one.shape)) for one in session.get_inputs()
    ]
    name, shape = told[0]
    fits = len(shape) == len(wanted) and all(has in (want, ANY) for has, want in zip(shape, wanted, strict=True))
    if len(told) > 1 or spec.input.name not in (None, name) or not fits:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in told)
        says = f"{spec.input.name or name} {list(wanted)}"
        raise SelfTestFailed(f"model {spec.name}: its graph takes {listed}, its spec says {says}; mend the spec")
    return TensorInfo(name, "FP32", wanted)


def _try(spec: AnySpec, session: Session, name: str) -> None:
    """Every answer is as wide as the spec says, and a batch of two is answered as each picture alone."""
    one = probe_tensor(spec)
    other = np.ascontiguousarray(one[..., ::-1]) - np.float32(_DARKER / spec.input.std)
    alone = [check_outputs(spec, session.run(None, {name: picture})) for picture in (one, other)]
    if spec.batch == 1:
        return
    together = session.run(None, {name: np.concatenate([one, other])})
    for number, answers in enumerate(alone):
        if not same_answers([answer[0] for answer in answers], [answer[number] for answer in together]):
            raise SelfTestFailed(
                f"model {spec.name}: a batch is answered otherwise than its pictures alone; say batch: 1 in its spec"
            )


def _write(
    spec: AnySpec,
    triton: TritonModel,
    folders: Sequence[Path],
    draft: Path,
    options: RepositoryOptions,
    plans: Path | None,
) -> Written:
    graph = servable_graph(spec, read_weights(spec, folders))
    model, data = described(spec, triton, graph), graph
    if plans is not None:
        model = RepositoryModel(spec, triton, "tensorrt", _PLAN, model.input, model.outputs, model.batched)
        data = _plan_of(spec, plans)
    folder = draft / triton.model
    _put(folder / triton.version / model.file, data)
    _put(folder / "config.pbtxt", config_text(model, options).encode())
    return Written(model, len(data))


def _plan_of(spec: AnySpec, plans: Path) -> bytes:
    file = plans / f"{spec.name}.plan"
    try:
        return file.read_bytes()
    except OSError as error:
        raise WeightsMissing(
            f"model {spec.name}: its TensorRT plan {file} can't be read ({error.strerror}); make it with "
            f"scripts/make-tensorrt-plan.py {spec.name}"
        ) from None


def _own_name(spec: AnySpec) -> TritonModel:
    return spec.triton or TritonModel(model=spec.name, version=str(spec.version))


def _refuse_doubles(placed: Mapping[str, TritonModel]) -> None:
    by_name: dict[str, str] = {}
    for name, triton in placed.items():
        if "/" in triton.model or triton.model.startswith("."):
            raise SpecInvalid(f"model {name}: triton.model {triton.model} can't be a folder's name; give it another")
        other = by_name.setdefault(triton.model, name)
        if other != name:
            raise SpecInvalid(f"models {other} and {name}: both would be {triton.model} on the server; rename one")


def refuse_unservable(spec: AnySpec, *, as_plan: bool) -> None:
    """Raises UnsupportedEngine, WeightsMissing for what no server runs, or TensorRT doesn't."""
    members = getattr(spec, "members", ())
    if members:
        raise UnsupportedEngine(
            f"model {spec.name}: an ensemble is put together by the service; export its members: {' '.join(members)}"
        )
    if not spec.local_artifacts:
        raise WeightsMissing(
            f"model {spec.name}: its spec names no weights, they are on a server already; nothing to do"
        )
    if spec.engine == "torch":
        raise UnsupportedEngine(
            f"model {spec.name}: PyTorch's checkpoints can't be served as they are; make an ONNX file of it: whosthere "
            f"models convert CHECKPOINT --as {spec.architecture}"
        )
    if as_plan and spec.precision == "int8":
        raise UnsupportedEngine(
            f"model {spec.name}: its int8 operators are ONNX Runtime's own, TensorRT has none; serve its ONNX file"
        )


def _refuse_existing(out: Path) -> None:
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise RepositoryExists(f"{out} is there already; remove it, or choose another folder with --out")


def _put(file: Path, data: bytes) -> None:
    """A file on the disk itself."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _make_readable(folder: Path) -> None:
    """A server runs as another user, and nothing in it is a secret: as whoever calls lets files be."""
    mask = os.umask(0o077)
    os.umask(mask)
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
