"""An embedder that gives NaN or zeros for some faces: a real network in a real session, batched as ever."""

from pathlib import Path

import numpy as np
import pytest

from recognition import embed
from recognition.errors import EmbeddingUnusable
from recognition.recogniser import UNHEALTHY_AFTER, RecogniserConfig, open_recogniser
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from tests.fragile import faces, fragile_model


@pytest.mark.parametrize("gives", ["nan", "zeros"])
async def test_an_unusable_embedding_is_zeros_and_harms_no_neighbour(tmp_path: Path, gives: str):
    config = RecogniserConfig("nano_det", fragile_model(tmp_path, gives), (tmp_path,), device="cpu", runners=1)
    async with open_recogniser(config) as recogniser:
        embedded = await recogniser.embed(*faces(120, 0, 200, 0), "a")
        (alone,) = (await recogniser.embed(*faces(120), "a")).embeddings
    assert embed.usable(embedded.embeddings).tolist() == [True, False, True, False]
    assert not embedded.embeddings[[1, 3]].any()
    np.testing.assert_allclose(np.linalg.norm(embedded.embeddings[[0, 2]], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedded.embeddings[0], alone, atol=1e-5)


async def test_only_many_in_a_row_make_a_fault_and_a_good_one_ends_it(tmp_path: Path):
    config = RecogniserConfig("nano_det", fragile_model(tmp_path, "nan"), (tmp_path,), device="cpu", runners=1)
    async with open_recogniser(config) as recogniser:
        for _ in range(3):
            await recogniser.embed(*faces(*[0] * (UNHEALTHY_AFTER - 1)), "a")
            assert recogniser.fault is None
            await recogniser.embed(*faces(120), "b")
        for _ in range(UNHEALTHY_AFTER):
            assert recogniser.fault is None
            await recogniser.embed(*faces(0), "a")
        fault = recogniser.fault
        assert isinstance(fault, EmbeddingUnusable)
        assert f"fragile: gave NaN, infinity or zeros for the last {UNHEALTHY_AFTER} faces" in str(fault)
        await recogniser.embed(*faces(120), "a")
        assert recogniser.fault is None


@pytest.mark.parametrize(
    ("row", "unit"),
    [
        ([3.0, 4.0], [0.6, 0.8]),
        ([1e-3, 0.0], [1.0, 0.0]),
        ([np.nan, 1.0], [0.0, 0.0]),
        ([np.inf, 1.0], [0.0, 0.0]),
        ([1e30, 1e30], [0.0, 0.0]),  # its length is beyond float32
        ([0.0, 0.0], [0.0, 0.0]),
        ([1e-9, 1e-9], [0.0, 0.0]),  # rounding, not a face
    ],
)
def test_what_counts_as_usable(row, unit):
    spec = load_specs()["nano_embed"].model_copy(update={"embedding_size": 2})
    assert isinstance(spec, EmbedderSpec)
    outputs = [[np.array([row], np.float32)], [np.array([[0.0, 2.0]], np.float32)]]
    parsed = embed.parse(spec, outputs)
    np.testing.assert_allclose(parsed, [unit, [0.0, 1.0]], atol=1e-6)
    assert embed.usable(parsed).tolist() == [any(unit), True]
