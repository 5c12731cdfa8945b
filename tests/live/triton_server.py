"""Starts the Triton Inference Server of .triton-venv as a subprocess, and ends it by its process group.

For tests: models in, a gRPC address on loopback out. start() blocks until the server says that it is up.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recognition import detect
from recognition.errors import TritonUnavailable
from recognition.runtimes.tensor_runner import TensorRunner
from recognition.specs.files import load_specs
from recognition.specs.weights import find_weights
from tests.conftest import PROJECT
from tests.live.servers import unused_port

VENV = PROJECT / ".triton-venv"
MODEL = Path(__file__).with_name("triton_model.py")
BACKEND = Path(__file__).with_name("triton_onnxruntime.py")
# A machine that is busy with something else starts it in half a minute.
_START_S = 150.0
# A deadline for machines that are busy: no test waits it out.
PATIENT_S = 120.0


def need_triton() -> None:
    """Skips where the server or its client is not installed."""
    try:
        import tritonclient.grpc  # noqa: F401
    except ImportError:
        missing = "needs Triton's client: .venv/bin/python -m pip install -e '.[triton]'"
    else:
        if (VENV / "made-with").is_file():
            return
        missing = "needs a Triton server: run scripts/make-triton-venv.sh"
    pytest.skip(missing)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """An ONNX file as the server shows it: (name, dims without the batch axis) of the input and of each output."""

    name: str
    onnx: Path
    input: tuple[str, Sequence[int]]
    outputs: Sequence[tuple[str, Sequence[int]]]
    version: int = 1
    max_batch: int = 8

    def write(self, folder: Path, gate: Path) -> None:
        """Its folder of a model repository."""
        (folder / str(self.version)).mkdir(parents=True)
        (folder / str(self.version) / "model.py").write_text(MODEL.read_text())
        lines = [f'name: "{self.name}"', 'backend: "python"', f"max_batch_size: {self.max_batch}"]
        lines.append(f"input [ {_tensor(*self.input)} ]")
        lines.append(f"output [ {', '.join(_tensor(*output) for output in self.outputs)} ]")
        lines.append("version_policy: { all { } }")
        lines.append("instance_group [ { kind: KIND_CPU, count: 1 } ]")
        parameters = {"onnx": self.onnx, "gate": gate}
        lines += [
            f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in parameters.items()
        ]
        (folder / "config.pbtxt").write_text("\n".join(lines) + "\n")


def _tensor(name: str, dims: Sequence[int]) -> str:
    return f'{{ name: "{name}", data_type: TYPE_FP32, dims: {list(dims)} }}'


class TritonServer:
    """One server on 127.0.0.1.

    The port stays the same over restarts; another set of models may be given to start().
    """

    def __init__(
        self, folder: Path, models: Sequence[ServedModel], ready_made: Path | None = None, *, keeps_going: bool = False
    ) -> None:
        """`ready_made`: a repository as it is, instead of models, for the backend that with_onnxruntime() adds."""
        self.port = unused_port()
        self._ready_made = ready_made
        self._exits = "false" if keeps_going else "true"
        self.gate = folder / "gate"
        self._folder = folder
        self._models = tuple(models)
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, models: Sequence[ServedModel] | None = None) -> None:
        need_triton()
        site = next(VENV.glob("lib/python3.*/site-packages"))
        server = site / "pytriton" / "tritonserver"
        self._starts += 1
        repository = self._ready_made or self._folder / f"repository-{self._starts}"
        backends = server / "backends" if self._ready_made is None else with_onnxruntime(self._folder, server)
        for model in self._models if models is None else models:
            model.write(repository / model.name, self.gate)
        log = self._folder / f"server-{self._starts}.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    server / "bin" / "tritonserver",
                    f"--model-repository={repository}",
                    f"--backend-directory={backends}",
                    "--grpc-address=127.0.0.1",
                    f"--grpc-port={self.port}",
                    "--allow-http=false",
                    "--allow-metrics=false",
                    "--disable-auto-complete-config",
                    f"--exit-on-error={self._exits}",
                    f"--backend-config=python,shm-region-prefix-name=whosthere-{os.getpid()}-{self.port}-{self._starts}",
                ],
                env=_environ(site),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until_s = time.monotonic() + _START_S
        while b"Started GRPCInferenceService" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > until_s:
                self.kill()
                pytest.fail(f"the Triton server did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)

    def ensure(self) -> None:
        """Start it if it does not run: it was killed, or it ended, as one did that had been stopped (SIGSTOP)."""
        if self._process is not None and self._process.poll() is not None:
            self.kill()
        if self._process is None:
            self.start()

    @contextlib.contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        """Within, its models answer nothing; what it gives blocks until a request waits for one of them."""
        waiting = self.gate.with_suffix(".waiting")

        def somebody_waits() -> None:
            until_s = time.monotonic() + _START_S
            while not waiting.exists():
                assert time.monotonic() < until_s
                time.sleep(0.01)

        self.gate.touch()
        try:
            yield somebody_waits
        finally:
            self.gate.unlink()
            waiting.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL to the server and to the processes of its models."""
        process, self._process = self._process, None
        if process is not None:
            # Not yet waited for, it keeps the group's number from being given to anybody else.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
            for left in Path("/dev/shm").glob(f"whosthere-{os.getpid()}-{self.port}-*"):
                left.unlink(missing_ok=True)

    def hang(self) -> None:
        """SIGSTOP: its connections stay open, nothing answers any more."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def with_onnxruntime(folder: Path, server: Path) -> Path:
    """A folder of backends: the server's own, and one called onnxruntime, which NVIDIA's builds alone have, in Python:
    what it is given is loaded and run by ONNX Runtime as there, on the CPU.
    """
    backends = folder / "backends"
    (backends / "onnxruntime").mkdir(parents=True, exist_ok=True)
    (backends / "onnxruntime" / "model.py").write_text(BACKEND.read_text())
    with contextlib.suppress(FileExistsError):
        (backends / "python").symlink_to(server / "backends" / "python")
    return backends


def _environ(site: Path) -> Mapping[str, str]:
    told = subprocess.run(
        [VENV / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {
        "PATH": f"{VENV / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(site),
        # The backend embeds a Python: that of the environment, which need not be where the linker looks.
        "LD_LIBRARY_PATH": told.stdout.strip(),
        "HOME": os.environ.get("HOME", "/"),
        "OMP_NUM_THREADS": "1",
    }


def nano_embedder(name: str, file: Path, **more: int) -> ServedModel:
    """A network of nano_embed's shapes, under this name."""
    return ServedModel(name, file, ("input", (3, 112, 112)), [("embedding", (256,))], **more)


def nano_detector() -> ServedModel:
    """nano_det, as the spec wants it."""
    outputs = [
        (f"{kind}_{stride}", (-1, width))
        for kind, width in zip(("cls", "obj", "bbox", "kps"), detect.OUTPUT_WIDTHS["yunet"], strict=True)
        for stride in detect.STRIDES
    ]
    file = find_weights(load_specs()["nano_det"], [])
    return ServedModel("nano_det", file, ("input", (3, -1, -1)), outputs)


def other_weights(file: Path) -> Path:
    """A network of the embedder's shapes that makes something else of a picture."""
    weights = np.random.default_rng(5).normal(size=(3, 256)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
    return (one * other).sum(axis=1)


def served_again(server: TritonServer, runner: TensorRunner, batch: np.ndarray) -> np.ndarray:
    """The answer to a batch as soon as there is one; the same runner is asked until then, of a server that runs."""
    until_s = time.monotonic() + PATIENT_S
    while True:
        server.ensure()
        try:
            return runner.run(batch)[0]
        except TritonUnavailable:
            if time.monotonic() > until_s:
                raise
