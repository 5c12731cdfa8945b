"""A user's own kernel: the docs' example, compiled, and each way in which a library may be no good."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gallery.errors import RerankFailed, RerankLibraryUnusable
from gallery.matching.rerank import Reranker
from gallery.matching.rerank_kernel import Neighbourhood, rerank_scores
from gallery.matching.rerank_library import LibraryKernel, load_library, self_test, self_test_inputs
from tests.gallery.matching.test_rerank_kernel import faces
from tests.rerank_libraries import compiled, example, needs_compiler

HEAD = """
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
uint32_t whosthere_rerank_abi(void) { return 1; }
int64_t whosthere_rerank(const float *probe, const float *candidates, uint64_t count, uint64_t dim,
    uint32_t k1, uint32_t k2, float original_share, float *scores, uint64_t scores_length) {
"""
NOTHING = "return (int64_t)count; }"
EACH = "for (uint64_t i = 0; i < count; i++) scores[i] = "


@needs_compiler
def test_the_example_in_the_docs_gives_the_built_in_kernels_scores(tmp_path: Path) -> None:
    kernel = load_library(compiled(tmp_path, example()))
    for points, neighbourhood in [*self_test_inputs(), (faces(1, 201, 512, 8), Neighbourhood(12, 4, 0.5))]:
        assert kernel(points, neighbourhood) == pytest.approx(rerank_scores(points, neighbourhood), abs=1e-4)
    points, ids = faces(2, 201, 256, 5), [str(number) for number in range(200)]
    ours, theirs = (one.rerank(points[0], ids, points[1:]) for one in (Reranker(), Reranker(kernel=kernel)))
    wanted = {score.id: score.score for score in ours.scores}
    assert {score.id: score.score for score in theirs.scores} == pytest.approx(wanted, abs=1e-4)


@needs_compiler
def test_threads_call_it_at_once(tmp_path: Path) -> None:
    kernel = LibraryKernel(compiled(tmp_path, example()))
    inputs = list(self_test_inputs())
    with ThreadPoolExecutor(4) as threads:
        for (points, neighbourhood), scores in zip(
            inputs * 8, threads.map(lambda one: kernel(*one), inputs * 8), strict=True
        ):
            assert scores == pytest.approx(rerank_scores(points, neighbourhood), abs=1e-4)


@needs_compiler
@pytest.mark.parametrize(
    ("source", "told"),
    [
        (HEAD + "raise(SIGSEGV); " + NOTHING, r"was ended by signal 11 \(SIGSEGV\)"),
        (HEAD + "abort(); }", r"was ended by signal 6 \(SIGABRT\)"),
        (HEAD + "_exit(0); }", "was ended with exit code 0"),
        ("#include <unistd.h>\n__attribute__((constructor)) void f(void) { _exit(3); }", "was ended with exit code 3"),
    ],
)
def test_a_library_that_ends_its_process_is_refused_and_harms_nobody(tmp_path: Path, source: str, told: str) -> None:
    with pytest.raises(RerankLibraryUnusable, match=told) as refused:
        load_library(compiled(tmp_path, source))
    assert refused.value.code == "rerank_library_unusable"
    assert "\n" not in str(refused.value)


@needs_compiler
def test_what_the_other_process_finds_is_told_here(tmp_path: Path) -> None:
    with pytest.raises(RerankLibraryUnusable, match=r"kernel\.so gave error -7 for 200 candidates"):
        load_library(compiled(tmp_path, HEAD + "return -7; }"))


@needs_compiler
@pytest.mark.parametrize(
    ("source", "told"),
    [
        (HEAD + "return -7; }", "gave error -7"),
        (HEAD + "return (int64_t)count + 1; }", "says that it wrote"),
        (HEAD + "return 0; }", "says that it wrote 0 scores"),
        (HEAD + NOTHING, "not in 0..1, or not all of them"),
        (HEAD + EACH + "NAN;\n" + NOTHING, "not in 0..1"),
        (HEAD + EACH + "2;\n" + NOTHING, "not in 0..1"),
        (HEAD + EACH + "0.5f;\n" + NOTHING, "differ by 0.[3-5].* from the built-in kernel's, 0.001 is allowed"),
        (HEAD.replace("return 1", "return 2") + NOTHING, "is of interface 2, wanted is 1"),
        (HEAD.replace("rerank_abi", "version") + NOTHING, "lacks whosthere_rerank_abi or whosthere_rerank"),
        (HEAD.replace("rerank(", "ranking(") + NOTHING, "lacks whosthere_rerank_abi or whosthere_rerank"),
        ("double missing_function(void); double f(void) { return missing_function(); }", "can't be loaded|lacks"),
    ],
)
def test_a_library_that_is_no_good_is_refused(tmp_path: Path, source: str, told: str) -> None:
    with pytest.raises(RerankLibraryUnusable, match=told) as refused:
        self_test(compiled(tmp_path, source))
    assert refused.value.code == "rerank_library_unusable"
    assert "\n" not in str(refused.value)


@needs_compiler
def test_a_library_that_hangs_is_given_up(tmp_path: Path) -> None:
    path = compiled(tmp_path, HEAD + "for (;;) pause(); }")
    with pytest.raises(RerankLibraryUnusable, match="did not pass its self-test in 2 s"):
        load_library(path, limit_s=2.0)


@needs_compiler
@pytest.mark.parametrize(
    ("slip", "instead"),
    [
        ("3 * both < 2 * size", "0"),
        ("k1 / 2", "k1"),
        ("- TIE", "- TIE - 0.05f"),
        ("k2 - 1", "k2"),
        ("(1 - cosines[g]) / 2", "0"),
    ],
)
def test_a_small_slip_in_the_algorithm_is_found(tmp_path: Path, slip: str, instead: str) -> None:
    source = example()
    assert source.count(slip) == 1
    with pytest.raises(RerankLibraryUnusable, match="differ by"):
        self_test(compiled(tmp_path, source.replace(slip, instead)))


@needs_compiler
def test_the_self_test_calls_from_several_threads_at_once(tmp_path: Path) -> None:
    alone = "static _Atomic int inside, met; inside++; for (int i = 0; i < 10000 && !met; i++) { met |= inside > 1;"
    source = HEAD + alone + " usleep(1000); } return met ? -9 : (int64_t)count; }"
    with pytest.raises(RerankLibraryUnusable, match="gave error -9"):
        self_test(compiled(tmp_path, "#define _DEFAULT_SOURCE" + source))


@needs_compiler
def test_what_fails_later_is_told(tmp_path: Path) -> None:
    kernel = LibraryKernel(compiled(tmp_path, HEAD + "return count == 3 ? -5 : (int64_t)count; }"))
    points = faces(1, 4, 16, 1)
    with pytest.raises(RerankFailed, match="gave error -5 for 3 candidates"):
        kernel(points, Neighbourhood.among(3))
    with pytest.raises(RerankFailed, match=r"not in 0\.\.1"):
        kernel(points[:3], Neighbourhood.among(2))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.mkdir(), "there is no file"),
        (lambda path: path.write_bytes(b""), "can't be loaded"),
        (lambda path: path.write_text("int main;"), "can't be loaded"),
        (lambda path: path.write_bytes(b"\x7fELF" + bytes(200)), "can't be loaded"),
    ],
)
def test_what_is_no_library_is_refused(tmp_path: Path, made: Callable[[Path], object], told: str) -> None:
    path = tmp_path / "rerank.so"
    made(path)
    with pytest.raises(RerankLibraryUnusable, match=told) as refused:
        load_library(path)
    assert os.fspath(path) in str(refused.value)


@needs_compiler
@pytest.mark.parametrize("fails", ["return -3; }", "return 1; }", EACH + "2.0f; " + NOTHING])
def test_what_a_call_failed_at_is_told_for_a_minute(tmp_path: Path, fails: str) -> None:
    now_s = 100.0
    ok = f"if (count > 2) {{ {EACH} 0.5f; {NOTHING} "
    kernel = LibraryKernel(compiled(tmp_path, HEAD + ok + fails), clock=lambda: now_s)
    reranker = Reranker(kernel=kernel)
    points = faces(3, 4, 8, 1)
    assert reranker.trouble == ""
    with pytest.raises(RerankFailed) as failed:
        reranker.rerank(points[0], ["a", "b"], points[1:3])
    assert reranker.trouble == str(failed.value)
    now_s += 61.0
    assert reranker.trouble == ""
    with pytest.raises(RerankFailed):
        reranker.rerank(points[0], ["a", "b"], points[1:3])
    assert reranker.trouble
    reranker.rerank(points[0], ["a", "b", "c"], points[1:4])
    assert reranker.trouble == ""
    assert Reranker().trouble == ""


def test_no_neighbour_of_the_self_test_is_nearly_tied_with_the_next() -> None:
    """Else a library could fail it for the last bit of a sum."""
    *inputs, same = self_test_inputs()
    for points, neighbourhood in inputs:
        cosines = points.astype(np.float64) @ points.T.astype(np.float64)
        np.fill_diagonal(cosines, 1.0)
        falling = -np.sort(-cosines, axis=1)
        for count in (neighbourhood.k1, neighbourhood.k1 // 2, neighbourhood.k2 - 1):
            if count + 1 < len(points):
                assert (falling[:, count] - falling[:, count + 1]).min() > 1e-5
    assert np.ptp(same[0], axis=0).max() == 0
