"""Thresholds for a rate of false names: made-up populations whose truth is known, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from gallery.errors import CalibrationTooFew, CalibrationTooRare, CalibrationUnreachable, FpirInvalid
from gallery.matching.calibration import OUTGROWN, Conditions, calibrate
from gallery.matching.calibration_text import from_text, from_texts, to_text
from gallery.matching.cross_scores import CrossScores, cross_scores
from gallery.matching.impostors import bundled_model
from gallery.matching.tails import GRID
from gallery.people import Templates

NANO = "nano_embed.2"
UNMEASURED = "somebodys_own.1"
CONDITIONS = Conditions("signature", "class_mean", 0.05, 0.15)


def people(count: int, photos: int, seed: int) -> Templates:
    """Unit vectors of a population of 64 dimensions; two photos of a person have a cosine of about .7."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((count, 64)), photos, axis=0)
    rows = centres + 0.65 * rng.standard_normal(centres.shape)
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    owners = tuple(f"p{seed}x{number}" for number in range(count) for _ in range(photos))
    return Templates(UNMEASURED, np.arange(1, len(rows) + 1), owners, vectors)


def named(gallery: Templates, strangers: Templates, threshold: float) -> float:
    """The share of strangers who are named, by the mean of each person's photos and the margin."""
    photos = gallery.person_ids.count(gallery.person_ids[0])
    means = gallery.matrix.reshape(-1, photos, 64).mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    best = np.sort(strangers.matrix @ means.T, axis=1)[:, -2:]
    return float(((best[:, 1] >= threshold) & (best[:, 1] - best[:, 0] >= 0.05)).mean())


def scores_as_measured(count: int, shift: float = 0.0, alike: int = 0) -> CrossScores:
    """Of a gallery whose people are as alike as those who were measured, or more by `shift`."""
    tail = bundled_model(NANO).impostor_tail("class_mean", [1]).moved(shift)
    impostor = tail.shares * count * (count - 1)
    impostor[-2] += 2 * alike
    counted = {f"p{number}": 1 for number in range(count)}
    return CrossScores(counted, impostor, np.zeros(len(GRID)), count * (count - 1) // 2, ())


@pytest.mark.parametrize(("count", "photos"), [(60, 1), (60, 3), (250, 1), (250, 4)])
def test_an_unmeasured_embedder_is_calibrated_from_the_gallerys_own_pairs(count, photos):
    gallery = people(count, photos, 1)
    found, curves = calibrate(UNMEASURED, cross_scores(gallery, "class_mean"), CONDITIONS, 0.01, 5.0)
    measured = named(gallery, people(20_000, 1, 2), found.threshold)

    assert found.base is None
    assert found.expected_fpir <= 0.01
    assert measured <= 0.02  # the usual shape is a heavy one: more is not promised
    assert (found.expected_fnir is None) == (curves.fnir is None) == (photos == 1)


@pytest.mark.parametrize(("count", "fpir"), [(2, 0.01), (50, 0.01), (400, 0.001), (2000, 0.01)])
def test_a_gallery_like_the_measured_people_has_their_threshold(count, fpir):
    found, _ = calibrate(NANO, scores_as_measured(count), CONDITIONS, fpir, 5.0)
    naive = bundled_model(NANO).impostor_tail("class_mean", [1]).cosine_at(fpir / count)

    assert found.shift == pytest.approx(0.0, abs=0.002)
    assert found.threshold == pytest.approx(naive, abs=0.015)
    assert found.threshold <= naive + 0.001  # the margin takes some of the false names away
    assert 0.9 * fpir < found.expected_fpir <= fpir
    assert found.expected_fnir is not None


def test_the_more_people_the_higher_the_bar():
    bars = [calibrate(NANO, scores_as_measured(count), CONDITIONS, 0.01, 5.0)[0].threshold for count in (5, 50, 500)]
    assert bars[0] < bars[1] - 0.03 < bars[2] - 0.06


@pytest.mark.parametrize(("count", "margin", "fpir"), [(2, 1.0, 0.01), (2, 0.5, 0.3), (50, 0.4, 0.1), (400, 1.0, 0.01)])
def test_however_large_the_margin_one_person_alone_is_held_to_the_rate(count, margin, fpir):
    found, curves = calibrate(NANO, scores_as_measured(count), replace(CONDITIONS, margin=margin), fpir, 5.0)

    assert found.threshold == pytest.approx(GRID[curves.place_at(fpir)])
    assert curves.impostor.at(found.threshold) <= fpir * 1.001
    assert found.expected_fpir <= fpir
    assert found.fpir_of({"p0": 1}, {}) <= fpir * 1.001, "the others were forgotten"


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.5])
def test_where_everybody_looks_the_same_nobody_is_named_by_chance(margin):
    """By an embedder that gives the same for all faces no stranger leads, and no bar looks too low."""
    gallery = people(50, 1, 3)
    same = replace(gallery, matrix=np.repeat(gallery.matrix[:1], 50, axis=0))
    conditions = replace(CONDITIONS, margin=margin)
    assert calibrate(UNMEASURED, cross_scores(same, "class_mean"), conditions, 0.01, 5.0)[0].threshold > 0.99


@pytest.mark.parametrize("shift", [0.02, 0.05, 0.1])
def test_a_gallery_whose_people_are_more_alike_has_a_higher_bar(shift):
    usual, _ = calibrate(NANO, scores_as_measured(400), CONDITIONS, 0.01, 5.0)
    alike, _ = calibrate(NANO, scores_as_measured(400, shift), CONDITIONS, 0.01, 5.0)
    assert 0.7 * shift < alike.threshold - usual.threshold < 1.1 * shift


@pytest.mark.parametrize("shift", [-0.02, -0.1, -0.3])
def test_one_whose_people_are_less_alike_has_no_lower_bar(shift):
    usual, _ = calibrate(NANO, scores_as_measured(400), CONDITIONS, 0.01, 5.0)
    found, _ = calibrate(NANO, scores_as_measured(400, shift), CONDITIONS, 0.01, 5.0)
    assert found.threshold == usual.threshold


def test_a_pair_of_twins_moves_the_bar_of_all_others_little():
    usual, _ = calibrate(NANO, scores_as_measured(50), CONDITIONS, 0.01, 5.0)
    twins, _ = calibrate(NANO, scores_as_measured(50, alike=1), CONDITIONS, 0.01, 5.0)
    assert 0 <= twins.threshold - usual.threshold < 0.01


def test_thresholds_of_their_own_leave_less_to_the_others():
    usual, _ = calibrate(NANO, scores_as_measured(50), CONDITIONS, 0.01, 5.0)
    easy, _ = calibrate(NANO, scores_as_measured(50), CONDITIONS, 0.01, 5.0, {"p3": 0.36})
    strict, _ = calibrate(NANO, scores_as_measured(50), CONDITIONS, 0.01, 5.0, {"p3": 0.9})

    assert strict.threshold <= usual.threshold < easy.threshold
    with pytest.raises(CalibrationUnreachable, match=r"p3.*alone let"):
        calibrate(NANO, scores_as_measured(50), CONDITIONS, 0.001, 5.0, {"p3": 0.36})


@pytest.mark.parametrize(("count", "fpir"), [(20, 0.7), (60, 0.6), (400, 0.9)])
def test_where_the_margin_alone_is_enough_who_resembles_nobody_is_still_unknown(count, fpir):
    found, curves = calibrate(NANO, scores_as_measured(count), CONDITIONS, fpir, 5.0)
    assert curves.fpir[0] < fpir
    assert found.expected_fpir <= fpir
    assert found.threshold > 0.05


@pytest.mark.parametrize(("count", "fpir"), [(2, 0.01), (30, 0.01), (30, 0.001)])
def test_where_all_have_thresholds_of_their_own_the_next_one_has_a_bar_too(count, fpir):
    own = {f"p{number}": 0.9 for number in range(count)}
    found, _ = calibrate(NANO, scores_as_measured(count), CONDITIONS, fpir, 5.0, own)
    one_more = found.fpir_of({**dict.fromkeys(own, 1), "next": 1}, own)
    assert found.threshold > 0.2
    assert one_more <= fpir


@pytest.mark.parametrize("fpir", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_what_is_no_share_is_refused(fpir):
    with pytest.raises(FpirInvalid, match="between 0 and 1"):
        calibrate(NANO, scores_as_measured(50), CONDITIONS, fpir, 5.0)


@pytest.mark.parametrize(("count", "told"), [(0, "no people have"), (1, "1 person has")])
def test_nobody_to_compare_with_is_refused(count, told):
    with pytest.raises(CalibrationTooFew, match=told):
        calibrate(NANO, scores_as_measured(count), CONDITIONS, 0.01, 5.0)


@pytest.mark.parametrize(
    ("space", "count", "too_rare", "told"),
    [(UNMEASURED, 50, 2e-3, "1225 pairs"), (UNMEASURED, 10, 0.05, "45 pairs"), (NANO, 2000, 1e-4, "with 2000 people")],
)
def test_a_rate_that_so_few_pairs_can_not_tell_is_refused(space, count, too_rare, told):
    with pytest.raises(CalibrationTooRare, match=told) as refused:
        calibrate(space, scores_as_measured(count), CONDITIONS, too_rare, 5.0)

    possible = float(str(refused.value).rsplit("ask for ", 1)[1].split()[0])
    assert too_rare < possible < 3 * too_rare
    assert calibrate(space, scores_as_measured(count), CONDITIONS, possible, 5.0)[0].fpir == possible


@pytest.mark.parametrize("factor", [1, 1.3, 2, 4])
def test_a_gallery_that_grows_lets_more_strangers_through(factor):
    found, _ = calibrate(NANO, scores_as_measured(200), CONDITIONS, 0.01, 5.0)
    now = {f"p{number}": 1 for number in range(int(200 * factor))}

    assert found.fpir_of(now, {}) == pytest.approx(0.01 * factor, rel=0.1)
    assert (found.fpir_of(now, {}) > OUTGROWN * found.fpir) == (factor > 1.5)
    assert found.fpir_of(now, {}, 0.9) < 1e-3


def test_confidence_rises_with_the_similarity_and_is_a_probability():
    found, _ = calibrate(NANO, scores_as_measured(100), CONDITIONS, 0.01, 5.0)
    sure = [found.confidence(cosine, known=True) for cosine in np.linspace(-1, 1, 201)]

    assert sure == sorted(sure)
    assert 0.0 <= sure[0] < 0.2
    assert 0.95 < sure[-1] <= 1.0
    assert found.confidence(0.3, known=False) == pytest.approx(1 - found.confidence(0.3, known=True))
    assert replace(found, trust=()).confidence(0.5, known=True) is None


def test_it_is_kept_as_text_that_names_nobody():
    found, _ = calibrate(NANO, scores_as_measured(30), CONDITIONS, 0.01, 5.0, {"p3": 0.6})
    text = to_text(found)

    assert from_text(text) == found
    assert "p3" not in text
    assert not found.is_of_other_measurements
    assert replace(found, model="other").is_of_other_measurements


@pytest.mark.parametrize("text", ["", "[]", '{"space": "nano_embed.2"}', '"threshold": 0.5', None])
def test_what_is_none_is_as_no_calibration(text):
    assert from_texts({NANO: text}) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", 1.5),
        ("fpir", 0.0),
        ("scale", -1.0),
        ("shift", float("inf")),
        ("trust", ((0.1, 0.2), (0.3, 1.5))),
        ("trust", ((0.1, float("nan")),)),
        ("trust", ((0.3, 0.2), (0.1, 0.9))),
        ("trust", ((0.1, 0.9), (0.3, 0.2))),
    ],
)
def test_figures_that_can_not_be_are_as_no_calibration(key, value):
    found, _ = calibrate(NANO, scores_as_measured(30), CONDITIONS, 0.01, 5.0)
    assert from_text(to_text(replace(found, **{key: value}))) is None
