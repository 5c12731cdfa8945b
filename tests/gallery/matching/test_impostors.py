"""Impostor models: those that come with the project, broken ones, and what lies between their figures."""

import numpy as np
import pytest
import yaml

from gallery.errors import ImpostorModelInvalid
from gallery.matching.impostors import bundled_model, read_model, usual_shape
from gallery.matching.measured_impostors import RATES
from recognition.specs.files import bundled, load_specs
from recognition.specs.spec import EmbedderSpec

SPACES = sorted(file.stem for file in bundled("impostors").glob("*.yaml"))


def test_each_bundled_embedder_with_weights_at_hand_was_measured():
    spaces = {spec.space for spec in load_specs().values() if isinstance(spec, EmbedderSpec)}
    assert {"nano_embed.2", "arcface_w600k_mbf.1", "edgeface_xxs.1", "mobileface_v2.1"} < set(SPACES) <= spaces


@pytest.mark.parametrize("space", SPACES)
def test_it_says_what_the_specs_table_says_where_both_were_measured(space):
    spec = next(one for one in load_specs().values() if isinstance(one, EmbedderSpec) and one.space == space)
    tail = bundled_model(space).tails["best"][1]
    assert tail.cosine_at(1e-3) == pytest.approx(spec.thresholds.cosine_at(1e-3), abs=0.02)
    assert tail.cosine_at(1e-4) == pytest.approx(spec.thresholds.cosine_at(1e-4), abs=0.03)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("how", ["best", "class_mean", "mean_of_three"])
def test_more_photos_make_people_themselves_more_alike(space, how):
    model = bundled_model(space)
    shares = [model.genuine_tail(how, [number]).at(0.5) for number in (1, 3, 10)]
    assert shares == sorted(shares)


@pytest.mark.parametrize("space", SPACES)
def test_more_photos_make_strangers_more_alike_to_the_best_of_them(space):
    model = bundled_model(space)
    rates = [model.impostor_tail("best", [number]).at(0.3) for number in (1, 2, 3, 4, 5, 7, 10, 20, 100)]
    assert rates == sorted(rates)


def test_many_people_are_the_mean_of_their_kinds():
    model = bundled_model("nano_embed.2")
    one, five = model.impostor_tail("best", [1]), model.impostor_tail("best", [5])
    assert model.impostor_tail("best", [1, 1, 5, 1]).at(0.4) == pytest.approx((3 * one.at(0.4) + five.at(0.4)) / 4)


def test_nobody_is_in_it():
    for file in bundled("impostors").glob("*.yaml"):
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert set(document) == {
            *("space", "detector", "min_quality", "measured_on", "comparisons", "rates", "impostor"),
            *("shares", "genuine"),
        }
        rows = [
            row for table in (document["impostor"], document["genuine"]) for t in table.values() for row in t.values()
        ]
        assert max(map(len, rows)) <= len(RATES)
        assert document["comparisons"] > 40_000_000


def test_the_usual_shape_is_no_lighter_than_any_that_was_measured():
    shape = usual_shape().impostor_tail("best", [1])
    for space in SPACES:
        single = bundled_model(space).tails["best"][1]
        middle, far = single.cosine_at(0.3), single.cosine_at(0.01)
        own = single.moved(-middle * 0.25 / (far - middle), 0.25 / (far - middle))
        places = np.linspace(0.05, 0.45, 9)
        assert all(shape.at(cosine) >= own.at(cosine) * 0.98 for cosine in places)


@pytest.mark.parametrize(
    "change",
    [
        {"rates": [0.5, 0.1]},
        {"impostor": {"best": {2: [0.1, 0.2]}}},
        {"impostor": {"best": {1: [0.2, 0.1, 0.3]}}},
        {"genuine": {"worst": {1: [0.1, 0.2]}}},
        {"comparisons": 0},
        {"embedding": [0.1]},
    ],
)
def test_a_broken_one_is_refused(tmp_path, change):
    document = yaml.safe_load((bundled("impostors") / "nano_embed.2.yaml").read_text(encoding="utf-8"))
    file = tmp_path / "broken.yaml"
    file.write_text(yaml.safe_dump(document | change), encoding="utf-8")
    with pytest.raises(ImpostorModelInvalid, match="is broken"):
        read_model(file)


def test_one_that_is_no_yaml_or_not_there_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"space: [\xff")
    for name in ("a.yaml", "b.yaml"):
        with pytest.raises(ImpostorModelInvalid, match=name):
            read_model(tmp_path / name)
