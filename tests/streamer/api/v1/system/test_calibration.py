"""/api/v1/calibration of a running service over a gallery of people made of numbers."""

import pytest

from streamer.api.gallery_desk import GalleryDesk
from streamer.api.v1.system import calibration
from streamer.model_layer.setup import make_manager
from streamer.process import store_of
from streamer.settings import PathsSettings, Settings
from tests.conftest import PROJECT
from tests.gallery.fakes import near, photo_of, unit
from tests.streamer.api.v1.api import refusal, served

SPACE, DIM, PEOPLE = "nano_embed.2", 256, 30


@pytest.fixture
async def api(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    settings = Settings(paths=PathsSettings(models=(PROJECT / "model" / "artifacts",), data=data))
    store_of(settings).close()
    manager = make_manager(settings)
    async with (
        GalleryDesk.open(settings) as desk,
        served(tmp_path, [calibration.routes(desk, settings, manager)]) as api,
    ):
        api.settings = settings
        yield api
    manager.close()


def enrol(settings) -> None:
    with store_of(settings) as store:
        for number in range(PEOPLE):
            face = unit(number, DIM)
            shots = [photo_of(near(face, 0.97, place), 100 * number + place, SPACE) for place in range(2)]
            store.add_person(f"Person {number}", shots)


async def standing(api) -> dict:
    answer = await api.ask("GET", "/api/v1/calibration", "viewer")
    assert answer.status_code == 200
    return answer.json()["spaces"][SPACE]


async def test_what_was_asked_for_counts_from_then_on(api):
    enrol(api.settings)
    before = await standing(api)
    assert (before["state"], before["expected_fpir"]) == ("none", None)

    dry = await api.ask("POST", "/api/v1/calibration", "operator", json={"fpir": 0.01, "dry_run": True})
    assert (dry.status_code, dry.json()["written"], dry.json()["people"]) == (200, False, PEOPLE)
    assert (await standing(api))["state"] == "none"

    done = await api.ask("POST", "/api/v1/calibration", "operator", json={"fpir": 0.01})
    assert (done.status_code, done.json()["written"]) == (200, True)
    space = done.json()["spaces"][SPACE]
    assert 0.3 < space["threshold"] < 0.55
    assert 0.005 < space["expected_fpir"] <= 0.01
    assert dry.json()["spaces"] == done.json()["spaces"]
    curve = space["curve"]
    assert (curve[0]["threshold"], curve[-1]["threshold"], len(curve)) == (0, 1, 51)
    assert [one["fpir"] for one in curve] == sorted((one["fpir"] for one in curve), reverse=True)
    assert [one["fnir"] for one in curve] == sorted(one["fnir"] for one in curve)
    below, above = (one for one in curve if abs(one["threshold"] - space["threshold"]) < 0.02)
    assert below["fpir"] >= space["expected_fpir"] >= above["fpir"]
    assert below["fnir"] <= space["expected_fnir"] <= above["fnir"]
    assert len(done.json()["look_alikes"]) == 10
    after = await standing(api)
    assert (after["state"], after["threshold"]) == ("used", pytest.approx(space["threshold"]))
    with store_of(api.settings) as store:
        (entry,) = [one for one in store.audit_entries() if one.action == "calibrated"]
        assert entry.actor == "the operator"


@pytest.mark.parametrize("fpir", [0, 1, -0.1, "often", None])
async def test_a_rate_that_is_none(api, fpir):
    answer = await api.ask("POST", "/api/v1/calibration", json={"fpir": fpir})
    assert refusal(answer) == (422, "request_invalid")


async def test_nobody_is_enrolled(api):
    answer = await api.ask("POST", "/api/v1/calibration", json={})
    assert refusal(answer) == (409, "calibration_too_few")


async def test_a_viewer_may_see_and_not_calibrate(api):
    assert refusal(await api.ask("POST", "/api/v1/calibration", "viewer", json={})) == (403, "role_too_low")
