"""A user's own re-ranking kernel: a shared library with the C interface of docs/rerank.md, as a Kernel.

It is tried in a process of its own first, so that one that crashes or hangs does not take the service with it.
Blocks for as long as that takes; the kernel itself may be called by any thread.
"""

import ctypes
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from gallery.errors import RerankFailed, RerankLibraryUnusable
from gallery.matching.rerank import DEFAULT_THRESHOLD, Reranker
from gallery.matching.rerank_kernel import Neighbourhood, rerank_scores
from recognition.arrays import F32

ABI = 1
LIMIT_S = 30.0
TOLD_S = 60.0
TOLERANCE = 1e-3  # of a score: float32 in another order differs by 1e-6
_ABI_FUNCTION, _FUNCTION = "whosthere_rerank_abi", "whosthere_rerank"
_DOCS = "docs/rerank.md has the interface"
_THREADS = 4
# (seed, candidates, numbers). Of these no neighbour is as good as tied with the next one.
_SELF_TEST = ((35, 200, 512), (52, 60, 128), (24, 7, 3), (1, 1, 256))


class LibraryKernel:
    """The Kernel in a library."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Load it, and hold it to this interface's version. Raises RerankLibraryUnusable."""
        if not path.is_file():
            raise RerankLibraryUnusable(f"gallery.rerank_library: there is no file {path}")
        try:
            library = ctypes.CDLL(str(path.absolute()))
            abi, function = getattr(library, _ABI_FUNCTION), getattr(library, _FUNCTION)
        except OSError as error:
            why = str(error).partition("\n")[0]
            raise RerankLibraryUnusable(f"gallery.rerank_library: {path} can't be loaded ({why})") from None
        except AttributeError:
            raise RerankLibraryUnusable(
                f"gallery.rerank_library: {path} lacks {_ABI_FUNCTION} or {_FUNCTION}; {_DOCS}"
            ) from None
        abi.argtypes, abi.restype = (), ctypes.c_uint32
        if (version := abi()) != ABI:
            raise RerankLibraryUnusable(
                f"gallery.rerank_library: {path} is of interface {version}, wanted is {ABI}; {_DOCS}"
            )
        array, size, count = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
        function.argtypes = (array, array, size, size, count, count, ctypes.c_float, array, size)
        function.restype = ctypes.c_int64
        self._path, self._function = path, function
        self._clock = clock
        self._failed: tuple[float, str] | None = None

    @property
    def trouble(self) -> str:
        """What its last call failed at, for a minute: a call says little about later ones. Empty where it does well."""
        failed = self._failed
        return failed[1] if failed is not None and self._clock() - failed[0] < TOLD_S else ""

    def __call__(self, points: F32, neighbourhood: Neighbourhood) -> F32:
        """Raises RerankFailed where it gives an error, too few scores, or what is no score."""
        try:
            scores = self._scores(points, neighbourhood)
        except RerankFailed as error:
            self._failed = (self._clock(), str(error))
            raise
        self._failed = None
        return scores

    def _scores(self, points: F32, neighbourhood: Neighbourhood) -> F32:
        points = np.ascontiguousarray(points, np.float32)
        n, dim = len(points) - 1, points.shape[1]
        scores = np.full(n, np.nan, np.float32)
        written = self._function(
            points.ctypes.data,
            points[1:].ctypes.data,
            n,
            dim,
            neighbourhood.k1,
            neighbourhood.k2,
            neighbourhood.original_share,
            scores.ctypes.data,
            n,
        )
        if written != n:
            what = f"gave error {written}" if written < 0 else f"says that it wrote {written} scores"
            raise RerankFailed(f"re-ranking library {self._path} {what} for {n} candidates")
        if not (np.isfinite(scores).all() and scores.min() >= -TOLERANCE and scores.max() <= 1.0 + TOLERANCE):
            raise RerankFailed(f"re-ranking library {self._path} gave scores that are not in 0..1, or not all of them")
        return np.clip(scores, 0.0, 1.0)


def load_library(path: Path, limit_s: float = LIMIT_S) -> LibraryKernel:
    """Load a library that has passed its self-test in another process. Raises RerankLibraryUnusable."""
    context = multiprocessing.get_context("spawn")
    answers, answering = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(answering, path), name="test of gallery.rerank_library", daemon=True)
    child.start()
    answering.close()
    try:
        if not answers.poll(limit_s):
            raise RerankLibraryUnusable(f"gallery.rerank_library: {path} did not pass its self-test in {limit_s:g} s")
        fault = answers.recv()
    except EOFError:
        child.join()
        code = child.exitcode or 0
        how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"
        raise RerankLibraryUnusable(f"gallery.rerank_library: the self-test of {path} was ended {how}") from None
    finally:
        child.kill()
        child.join()
        answers.close()
    if fault is not None:
        raise fault
    return LibraryKernel(path)


def make_reranker(threshold: float | None, library: Path | None) -> Reranker:
    """As the settings have it; None: the default threshold, the built-in kernel. Raises RerankLibraryUnusable."""
    return Reranker(
        DEFAULT_THRESHOLD if threshold is None else threshold,
        rerank_scores if library is None else load_library(library),
    )


def _answer(answering: "Connection[RerankLibraryUnusable | None, None]", path: Path) -> None:
    """The child's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    try:
        self_test(path)
    except RerankLibraryUnusable as error:
        answering.send(error)
    else:
        answering.send(None)


def self_test(path: Path) -> None:
    """Hold a library to the built-in kernel, several threads at once, in this process: a crash is this one's.

    Raises RerankLibraryUnusable.
    """
    kernel = LibraryKernel(path)
    inputs = list(self_test_inputs())
    wanted = [rerank_scores(*one) for one in inputs]
    with ThreadPoolExecutor(_THREADS) as threads:
        try:
            answers = list(threads.map(lambda one: kernel(*one), inputs * _THREADS))
        except RerankFailed as error:
            raise RerankLibraryUnusable(f"gallery.rerank_library: in its self-test: {error}") from None
    for scores, right in zip(answers, wanted * _THREADS, strict=True):
        if (difference := float(np.abs(scores - right).max())) > TOLERANCE:
            raise RerankLibraryUnusable(
                f"gallery.rerank_library: {path} gives scores in its self-test that differ by {difference:.3g} from "
                f"the built-in kernel's, {TOLERANCE:g} is allowed; {_DOCS}"
            )


def self_test_inputs() -> Iterator[tuple[F32, Neighbourhood]]:
    """What a library is held to: made-up people with some faces each; then twelve times the probe itself."""
    for seed, count, dim in _SELF_TEST:
        units = _faces(seed, count + 1, dim)
        yield units, Neighbourhood.among(count)
    yield np.repeat(units[:1], 13, axis=0), Neighbourhood(4, 2)


def _faces(seed: int, count: int, dim: int) -> F32:
    """(count, dim) unit vectors, of some five faces a person."""
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((count // 5 + 1, dim))
    faces = people[rng.integers(0, len(people), count)] + 0.8 * rng.standard_normal((count, dim))
    return np.asarray(faces / np.linalg.norm(faces, axis=1, keepdims=True), np.float32)
