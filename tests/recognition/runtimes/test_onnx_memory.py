"""What ONNX Runtime's sessions hold: one arena for all, given back while none runs, no copy of the file."""

import subprocess
import sys
from contextlib import suppress

import numpy as np

from recognition.runtimes.onnx_session import RESTS_S, Arena, open_session
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


def test_after_a_rest_the_arena_is_given_back_once():
    now_s = 0.0
    arena = Arena(lambda: now_s)
    assert not arena.let_go()  # nothing ran yet
    with arena.running():
        now_s += 2 * RESTS_S
        assert not arena.let_go()
    assert not arena.let_go(), "the rest begins with the end of a run, however long that took"
    now_s += RESTS_S
    assert arena.let_go()
    assert not arena.let_go()
    with suppress(ValueError), arena.running():
        raise ValueError
    now_s += RESTS_S
    assert arena.let_go()


def test_a_network_computes_the_same_before_and_after():
    session = open_session((PROJECT / "model/nano/nano_embed.onnx").read_bytes())
    (entry,) = session.get_inputs()
    batch = np.random.default_rng(1).normal(size=(2, *entry.shape[1:])).astype(np.float32)
    first = session.run(None, {entry.name: batch})[0]
    now_s = 0.0
    arena = Arena(lambda: now_s)
    for _ in range(3):
        with arena.running():
            pass
        now_s += RESTS_S
        assert arena.let_go()
        assert np.array_equal(session.run(None, {entry.name: batch})[0], first)
