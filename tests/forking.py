"""`python -m streamer ...` as processes of their own, forked from one that has everything imported: hundreds of tests
start some, and importing took two seconds of CPU each.

A command line, a folder and an environment go in; a process comes back that is used as a subprocess.Popen is. From
the fork on it is a user's: own arguments, descriptors, environment, signals, exit. What depends on how a process is
started (its imports, variables that Python or a library reads first, its line in `ps`) needs a real one. Blocks.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

# A command needs these; what else it imports, it imports.
PACKAGES = ("recognition", "gallery", "streamer")
LIBRARIES = ("av", "cv2", "faiss", "lap", "uvloop", "uvicorn")
# Large, and wanted by few; ONNX Runtime starts a thread when it is imported, which no fork would have.
LEFT_OUT = ("onnxruntime", "torch", "sklearn", "scipy", "matplotlib", "onnx", "tritonclient")
# Read when Python or a library is loaded, which is over by then.
READ_FIRST = ("PYTHON", "LANG", "LC_", "LD_", "OMP_", "OPENBLAS_", "MALLOC_", "MKL_")
_ONE_MESSAGE = 1 << 17  # bytes: arguments and environment
_CONTROL = 3

_lock = threading.Lock()


class Forked:
    """A command that runs: pid, poll(), wait() and send_signal() are those of a Popen."""

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
        program: str | None = None,
    ) -> None:
        """arguments: those after `python -m streamer`, or after `python -c` and a program, which finds all of whosthere
        imported. Descriptors stay the caller's.
        """
        self.args = ["python", *(("-m", "streamer") if program is None else ("-c", program)), *arguments]
        self.returncode: int | None = None
        what = {"arguments": list(arguments), "program": program, "cwd": str(cwd), "env": dict(env)}
        asked = json.dumps(what).encode()
        told, tells = os.pipe()
        try:
            with _lock:
                control = _control()
            socket.send_fds(control, [asked], [stdin, stdout, stderr, tells])
        finally:
            os.close(tells)
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = self._number()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._told, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        line = self._told.read(12)
        assert line, f"the process that forks is gone: {self.args}"
        return int(line)


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], limit_s: float = 60.0, program: str | None = None
) -> subprocess.CompletedProcess[str]:
    """As subprocess.run with captured text, no stdin and a timeout, s."""
    give_up = time.monotonic() + limit_s
    with ExitStack() as stack:
        nothing = stack.enter_context(open(os.devnull, "rb"))
        reading, writing = zip(*(os.pipe(), os.pipe()), strict=True)
        files = [stack.enter_context(os.fdopen(end, "rb")) for end in reading]
        try:
            process = Forked(arguments, cwd, env, nothing.fileno(), *writing, program)
        finally:
            for end in writing:
                os.close(end)
        try:
            said = _all_said(files, give_up)
            code = process.wait(max(give_up - time.monotonic(), 0.1))
        except BaseException:
            process.kill()
            process.wait()
            raise
    out, err = (text.decode().replace("\r\n", "\n") for text in said)
    return subprocess.CompletedProcess(process.args, code, out, err)


def _all_said(files: Sequence[IO[bytes]], give_up_s: float) -> list[bytes]:
    """All that comes out of pipes until they are closed. Raises TimeoutExpired."""
    said = [bytearray() for _ in files]
    with selectors.DefaultSelector() as selector:
        for file, text in zip(files, said, strict=True):
            selector.register(file, selectors.EVENT_READ, text)
        while selector.get_map():
            for key, _ in selector.select(max(give_up_s - time.monotonic(), 0)) or _give_up():
                part = os.read(key.fd, 1 << 16)
                key.data.extend(part)
                if not part:
                    selector.unregister(key.fileobj)
    return [bytes(text) for text in said]


def _give_up() -> NoReturn:
    raise subprocess.TimeoutExpired("a command", 0)


def is_forked_alike(env: Mapping[str, str]) -> bool:
    """Whether these variables can be given after the start."""
    changed = {name for name in {*env, *os.environ} if env.get(name) != os.environ.get(name)}
    return not any(name.startswith(READ_FIRST) and name != "PYTHONPATH" for name in changed)


@cache
def _control() -> socket.socket:
    """One process a process of tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    project = Path(__file__).resolve().parent.parent
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WHOSTHERE_")}
    # Threads don't survive a fork: none may have been started by then.
    clean |= {"PYTHONPATH": str(project), "OPENBLAS_NUM_THREADS": "1"}
    with theirs, open(os.devnull, "r+b") as nothing:
        program = f"from tests.forking import main; main({theirs.fileno()})"
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=project, env=clean, pass_fds=[theirs.fileno()], stdin=nothing, stdout=nothing,
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours


def main(control: int) -> None:
    """Import everything, then fork whenever asked, until nobody can ask any more."""
    interrupt = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.modules.update(dict.fromkeys(LEFT_OUT))  # an ImportError for whoever imports one
    for package in PACKAGES:
        _import_all(importlib.import_module(package))
    for name in LEFT_OUT:
        del sys.modules[name]
    assert len(os.listdir("/proc/self/task")) == 1, "a thread was started while modules were imported"
    os.environ.pop("OPENBLAS_NUM_THREADS")
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=control) as asked:
        wanted = _Forks(asked).serve()
    if wanted is None:
        return
    signal.signal(signal.SIGINT, interrupt)
    program, *sys.argv[1:] = wanted
    if program:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
        return
    runpy.run_module("streamer", run_name="__main__", alter_sys=True)


def _import_all(package: object) -> None:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):  # type: ignore[attr-defined]
        if found.name.endswith("__main__"):
            continue
        with suppress(ImportError):
            module = importlib.import_module(found.name)
            if found.ispkg:
                _import_all(module)


class _Forks:
    """Of one control socket."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._telling: dict[int, int] = {}  # pid -> where its exit code is to be told

    def serve(self) -> list[str] | None:
        """None when all is over; in a forked process: a program or nothing, and arguments."""
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._asked, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == woken:
                    os.read(woken, 1 << 12)
                    self._reap()
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._asked, _ONE_MESSAGE, 4, socket.MSG_CMSG_CLOEXEC)
                if not message:
                    for pid in self._telling:
                        os.kill(pid, signal.SIGKILL)
                    return None
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    selector.close()
                    for descriptor in (woken, wakes, *self._telling.values()):
                        os.close(descriptor)
                    return _begin(json.loads(message), descriptors)
                *std, self._telling[pid] = descriptors
                for descriptor in std:
                    os.close(descriptor)
                _tell(self._telling[pid], pid)

    def _reap(self) -> None:
        while self._telling:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            telling = self._telling.pop(pid)
            _tell(telling, os.waitstatus_to_exitcode(status))
            os.close(telling)


def _begin(asked: dict[str, object], descriptors: list[int]) -> list[str]:
    """In the forked process: its descriptors, folder and environment."""
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    folder = str(asked["cwd"])
    os.chdir(folder)
    sys.path[0] = folder
    os.environ.clear()
    os.environ.update(asked["env"])  # type: ignore[call-overload]
    time.tzset()
    return [str(asked["program"] or ""), *asked["arguments"]]  # type: ignore[misc]


def _tell(descriptor: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(descriptor, b"%12d" % number)
