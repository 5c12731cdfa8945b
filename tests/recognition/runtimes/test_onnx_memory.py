"""What ONNX Runtime's sessions hold: one arena for all, given back where networks run rarely, no copy of the file."""

import subprocess
import sys

import numpy as np

from recognition.runtimes.onnx_session import RARELY_S, RunRhythm, giving_back, open_session
from tests.conftest import PROJECT

PROGRAM = """
import gc, sys
import onnxruntime as ort
from recognition.runtimes.onnx_session import open_session
weights = open(sys.argv[1], "rb").read()
sessions = [open_session(weights) for _ in range(3)]
held = [one for one in gc.get_objects() if isinstance(one, ort.InferenceSession) and one._model_bytes is not None]
shared = [one.get_session_options().get_session_config_entry("session.use_env_allocators") for one in sessions]
print(len(held), shared)
"""


def test_sessions_share_one_arena_and_keep_no_copy_of_their_file():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(PROJECT / "model/nano/nano_embed.onnx")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0 ['1', '1', '1']"


def test_a_run_is_rare_after_a_rest():
    now_s = 0.0
    rhythm = RunRhythm(lambda: now_s)
    assert not rhythm.is_rare()
    now_s += RARELY_S
    assert rhythm.is_rare()
    now_s += RARELY_S / 2
    assert not rhythm.is_rare()


def test_a_run_that_gives_memory_back_computes_the_same():
    session = open_session((PROJECT / "model/nano/nano_embed.onnx").read_bytes())
    (entry,) = session.get_inputs()
    batch = np.random.default_rng(1).normal(size=(2, *entry.shape[1:])).astype(np.float32)
    plain = session.run(None, {entry.name: batch})
    for _ in range(2):
        assert np.array_equal(session.run(None, {entry.name: batch}, giving_back())[0], plain[0])
    assert np.array_equal(session.run(None, {entry.name: batch})[0], plain[0])
