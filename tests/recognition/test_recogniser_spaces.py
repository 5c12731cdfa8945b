"""In which spaces a face's templates are made, and by whom; of ensembles whose members have to agree, in each one's."""

from pathlib import Path

import numpy as np
import pytest

from recognition.models.ensemble import halves
from recognition.recogniser import RecogniserConfig, open_recogniser
from recognition.selection.candidates import Placement
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec, signature_of
from tests.ensembles import coloured_faces, ensemble, tiny_model

COLOURS = (200, 40, 30), (30, 60, 220), (90, 90, 90)
DETECTOR = load_specs()["nano_det"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """one and two; `pair` has to agree, `joint` is a model like any other; `one_again` shares one's space."""
    one = tiny_model(tmp_path, "one", dim=64, seed=1, threshold=0.9)
    two = tiny_model(tmp_path, "two", dim=48, seed=2, threshold=0.8)
    ensemble(tmp_path, "pair", [one, two])
    ensemble(tmp_path, "joint", [one, two], "concat_l2")
    return tmp_path


@pytest.mark.parametrize(
    ("serving", "others", "makers"),
    [
        ("one", (), ["one"]),
        ("one", ("two",), ["one", "two"]),
        ("pair", (), ["one", "two"]),
        ("pair", ("two", "one"), ["one", "two"]),  # both members are there already
        ("pair", ("nano_embed",), ["one", "two", "nano_embed"]),
        ("two", ("pair",), ["two", "one"]),
        ("nano_embed", ("pair", "one"), ["nano_embed", "one", "two"]),
        ("joint", (), ["joint"]),
        ("joint", ("pair",), ["joint", "one", "two"]),
    ],
)
async def test_each_space_comes_once_and_the_serving_model_s_first(
    weights: Path, serving: str, others: tuple[str, ...], makers: list[str]
) -> None:
    config = RecogniserConfig(
        "nano_det", serving, (weights,), device="cpu", runners=1, cpu_threads=1, in_every_space=others
    )
    specs = load_specs(beside=[weights])
    image, landmarks = coloured_faces(*COLOURS)
    async with open_recogniser(config) as recogniser:
        found = await recogniser.in_every_space(image, landmarks)
        alone = {name: recogniser.manager.get(name) for name in makers}
        embedded = await recogniser.embed(image, landmarks, "a")
        assert [spec.name for spec in recogniser.template_specs] == makers
        assert [recogniser.manager.spec(name) for name in makers] == list(recogniser.template_specs)
        assert recogniser.spaces == tuple(seen.space for seen in found)
        assert recogniser.space == recogniser.spaces[0]
        assert (embedded.model, embedded.space) == (serving, specs[serving].space)
        for seen, name in zip(found, makers, strict=True):
            spec = recogniser.manager.spec_of(name, EmbedderSpec)
            assert (seen.model, seen.space) == (name, spec.space)
            assert seen.signature == signature_of(DETECTOR, spec)
            crops = np.full((len(COLOURS), 112, 112, 3), 0, np.uint8) + np.array(COLOURS, np.uint8)[:, None, None]
            own = alone[name].runner.predict_embeddings(crops)
            np.testing.assert_allclose(seen.embeddings, own, atol=1e-5)
            np.testing.assert_allclose(np.linalg.norm(seen.embeddings, axis=1), 1, atol=1e-5)
    if serving == "pair":
        for part, seen in zip(halves(embedded.embeddings, [64, 48]), found[:2], strict=True):
            np.testing.assert_allclose(part, seen.embeddings, atol=1e-5)


async def test_a_switch_to_an_ensemble_changes_whose_templates_come_first(weights: Path) -> None:
    config = RecogniserConfig("nano_det", "two", (weights,), device="cpu", runners=1, in_every_space=("pair",))
    async with open_recogniser(config) as recogniser:
        assert recogniser.spaces == ("two.1", "one.1")
        await recogniser.embedding.switch(Placement("pair", "cpu", 1))
        assert recogniser.spaces == ("one.1", "two.1")
        found = await recogniser.in_every_space(*coloured_faces(*COLOURS))
    assert [seen.space for seen in found] == ["one.1", "two.1"]
