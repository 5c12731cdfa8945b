"""A running service goes by the gallery's calibration as soon as it is there, and says when it no longer holds."""

import logging
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gallery.matching.calibration import Calibration, Conditions, calibrate
from gallery.matching.calibration_text import to_text
from gallery.matching.cross_scores import cross_scores
from gallery.people import OwnThreshold
from streamer.pipeline.tracking import KeptFace
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.galleries import open_store
from tests.gallery.fakes import photo_of
from tests.streamer.scripted import embedding_by, live_gallery_of, unit

ADA, SPACE = 1, "a.1"
LOOKS = dict.fromkeys(range(1, 61), "a")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"whosthere_{name}", labels)


@asynccontextmanager
async def opened(tmp_path, metrics):
    """With sixty people; the gallery, Ada's id, and the path of its file."""
    async with live_gallery_of(tmp_path, LOOKS, metrics) as (live_gallery, ids):
        yield live_gallery, ids[ADA], load(overrides=[f"paths.data={tmp_path}"]).gallery_path


def calibrated(path, fpir: float = 0.01, signature: str = "d+a") -> Calibration:
    """Calibrates the space a.1 behind the service's back."""
    with open_store(path) as store:
        scores = cross_scores(store.templates(SPACE), "class_mean")
        found, _ = calibrate(SPACE, scores, Conditions(signature, "class_mean", 0.05, 0.15), fpir, 5.0)
        store.keep_calibrations({SPACE: to_text(found)}, {})
    return found


async def seen(live_gallery, cosine: float):
    (verdict,) = await live_gallery.identify([[KeptFace(embedding_by("a", ADA, cosine), 0.9, "a")] * 3])
    return verdict


async def test_it_counts_from_the_next_look_at_the_gallery_on(tmp_path, metrics):
    async with opened(tmp_path, metrics) as (live_gallery, ada, path):
        before = await seen(live_gallery, 0.35)
        assert (before.match.outcome, before.threshold) == ("unknown", 0.4)
        assert value(metrics, "gallery_calibration", space=SPACE, state="none") == 1

        found = calibrated(path)
        assert found.threshold < 0.33
        await live_gallery.refresh()
        after = await seen(live_gallery, 0.35)
        assert (after.match.person_id, after.threshold) == (ada, found.threshold)
        assert value(metrics, "gallery_calibration", space=SPACE, state="used") == 1
        assert value(metrics, "gallery_calibration", space=SPACE, state="none") == 0
        assert value(metrics, "gallery_expected_fpir", space=SPACE) == pytest.approx(0.01, rel=0.2)
        assert (await seen(live_gallery, 0.15)).match.outcome == "unknown"


@pytest.mark.parametrize(("own", "outcome"), [(0.9, "unknown"), (0.35, "known")])
async def test_a_threshold_of_somebodys_own_comes_first(tmp_path, metrics, own, outcome):
    async with opened(tmp_path, metrics) as (live_gallery, ada, path):
        calibrated(path)
        with open_store(path) as store:
            store.change(ada, lambda profile: replace(profile, threshold=OwnThreshold(SPACE, own)))
        await live_gallery.refresh()
        verdict = await seen(live_gallery, 0.6)
        assert (verdict.match.outcome, verdict.threshold) == (outcome, own)


async def test_the_threshold_in_use_is_said_whenever_it_is_another(tmp_path, metrics, caplog):
    caplog.set_level(logging.INFO, logger="streamer.telemetry.calibration_watch")
    async with opened(tmp_path, metrics) as (live_gallery, ada, path):
        thresholds = []
        for fpir in (0.01, 0.02, 0.03):
            thresholds.append(calibrated(path, fpir).threshold)
            await live_gallery.refresh()
            with open_store(path) as store:
                store.change(ada, lambda profile: replace(profile, tags=(*profile.tags, "more")))
            await live_gallery.refresh()
    told = [one.message for one in caplog.records if one.message.startswith(f"{SPACE}: ")]
    first = f"{SPACE}: threshold 0.400 (the spec's, for no rate of this gallery's); not calibrated"
    assert [line.split(", about")[0] for line in told[told.index(first) + 1 :]] == [
        f"{SPACE}: threshold {threshold:.3f}, calibrated for FPIR {fpir:g} with 60 people"
        for threshold, fpir in zip(thresholds, (0.01, 0.02, 0.03), strict=True)
    ]


async def test_a_gallery_that_outgrows_it_is_said_once(tmp_path, metrics, caplog):
    async with opened(tmp_path, metrics) as (live_gallery, _, path):
        calibrated(path)
        await live_gallery.refresh()
        for more in range(3):
            with open_store(path) as store:
                for number in range(30):
                    look = 100 + 30 * more + number
                    store.add_person(f"Look {look}", [photo_of(unit(look), look, SPACE)])
            with caplog.at_level(logging.INFO, logger="streamer.telemetry.calibration_watch"):
                await live_gallery.refresh()
        (line,) = [one for one in caplog.records if getattr(one, "code", "") == "calibration_outgrown"]
        assert "has outgrown its threshold" in line.message
        assert value(metrics, "gallery_calibration", space=SPACE, state="outgrown") == 1
        assert value(metrics, "gallery_expected_fpir", space=SPACE) > 0.015

        calibrated(path)
        await live_gallery.refresh()
        assert value(metrics, "gallery_calibration", space=SPACE, state="used") == 1


async def test_one_of_other_models_is_used_and_said_to_be_stale(tmp_path, metrics, caplog):
    async with opened(tmp_path, metrics) as (live_gallery, _, path):
        found = calibrated(path, signature="other")
        await live_gallery.refresh()
        assert (await seen(live_gallery, 0.6)).threshold == found.threshold
        assert "other models (other, now d+a)" in caplog.text


@pytest.mark.parametrize("text", ["{}", "rubbish", '{"threshold": 2}'])
async def test_one_that_can_not_be_read_is_as_none(tmp_path, metrics, text):
    async with opened(tmp_path, metrics) as (live_gallery, _, path):
        with open_store(path) as store:
            store.keep_calibrations({SPACE: text}, {})
        await live_gallery.refresh()
        assert (await seen(live_gallery, 0.6)).threshold == 0.4
        assert live_gallery.trouble == ""
