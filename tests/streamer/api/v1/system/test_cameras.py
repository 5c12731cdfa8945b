"""/api/v1/cameras of a running service: added, changed, closed, taken away, each running when the answer comes."""

import asyncio
import json

import pytest

from tests.faces import KNOWN, write_film
from tests.streamer.api.v1.api import refusal
from tests.streamer.api.v1.running import running

SECRET = "s3cr3t"
CAMERAS = {
    "door": {"url": f"rtsp://me:{SECRET}@192.0.2.9/h264", "fps": 5, "enabled": False},
    "hall": {"url": "rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264", "enabled": False},
    "push": {"url": "publish://", "password": SECRET, "enabled": False},
}


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path, CAMERAS) as (service, api):
        api.service, api.folder = service, tmp_path
        yield api


def changes_of(api) -> dict:
    path = api.service.settings.camera_changes_path
    return json.loads(path.read_text())["cameras"] if path.exists() else {}


async def test_the_audit_log_says_who_changed_which_camera_and_no_login(api):
    url = f"rtsp://you:{SECRET}@192.0.2.9/h264"
    assert (await api.ask("PATCH", "/api/v1/cameras/door", "operator", json={"fps": 2, "url": url})).status_code == 200
    put = await api.ask("PUT", "/api/v1/cameras/yard", "admin", json={"url": url, "enabled": False})
    assert put.status_code == 201
    assert (await api.ask("DELETE", "/api/v1/cameras/yard", "operator")).status_code == 204
    assert (await api.ask("DELETE", "/api/v1/cameras/door", "operator")).status_code == 204
    assert (await api.ask("POST", "/api/v1/cameras/door/reset", "admin")).status_code == 200
    stale = await api.ask("PATCH", "/api/v1/cameras/door", "operator", json={"fps": 3}, headers={"If-Match": '"x"'})
    assert refusal(stale) == (412, "precondition_failed")
    assert refusal(await api.ask("DELETE", "/api/v1/cameras/none", "operator")) == (404, "camera_unknown")
    refused = await api.ask("PATCH", "/api/v1/cameras/push", "operator", json={"user": "a:b"})
    assert refusal(refused) == (422, "config_invalid")
    told = await api.ask("GET", "/api/v1/service/audit")
    assert SECRET not in told.text
    entries = [one for one in told.json()["entries"] if one["action"] == "camera_changed"]
    assert [(one["actor"], one["details"]) for one in entries] == [
        ("the operator", {"camera": "door", "what": "patched", "keys": ["fps", "url"]}),
        ("the admin", {"camera": "yard", "what": "put", "keys": ["enabled", "url"]}),
        ("the operator", {"camera": "yard", "what": "removed"}),
        ("the operator", {"camera": "door", "what": "removed"}),
        ("the admin", {"camera": "door", "what": "reset"}),
    ]


async def test_all_are_told_and_no_login(api):
    answer = await api.ask("GET", "/api/v1/cameras", "viewer")
    assert answer.status_code == 200
    cameras = {camera["name"]: camera for camera in answer.json()["cameras"]}
    assert list(cameras) == ["door", "hall", "push"]
    assert cameras["door"]["url"] == "rtsp://***@192.0.2.9/h264"
    assert (cameras["door"]["state"], cameras["door"]["fps"], cameras["door"]["from"]) == ("disabled", 5.0, "yaml")
    assert cameras["push"]["publish_to"].endswith("/push")
    assert SECRET not in answer.text
    assert "CAM_PASSWORD" not in answer.text
    assert answer.json()["removed"] == []


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"fps": 7.5}, {"fps": 7.5}),
        ({"rotate": 180, "aspect": "4:3"}, {"rotate": 180, "aspect": "4:3"}),
        ({"stalled_after_s": 3, "loop": True}, {"stalled_after_s": 3.0, "loop": True}),
    ],
)
async def test_what_is_given_of_a_camera_is_changed_and_runs(api, given, seen):
    answer = await api.ask("PATCH", "/api/v1/cameras/door", "operator", json=given)
    assert answer.status_code == 200
    assert answer.json()["from"] == "changed"
    assert {key: answer.json()[key] for key in seen} == seen
    (door,) = (camera for camera in api.service.cameras if camera.name == "door")
    assert {key: getattr(door.settings, key) for key in seen} == seen
    assert SECRET in door.settings.url
    assert changes_of(api)["door"] == given


async def test_a_camera_is_added_opened_closed_and_taken_away(api):
    film = write_film(api.folder / "film.mp4", ([KNOWN], 1))
    added = await api.ask("PUT", "/api/v1/cameras/yard", "operator", json={"url": str(film), "pace": "fastest"})
    assert added.status_code == 201
    assert (added.json()["from"], added.json()["url"]) == ("added", str(film))
    assert api.service.has_camera("yard")

    closed = await api.ask("PATCH", "/api/v1/cameras/yard", "operator", json={"enabled": False})
    assert (closed.status_code, closed.json()["state"]) == (200, "disabled")
    assert (await api.ask("DELETE", "/api/v1/cameras/yard", "operator")).status_code == 204
    assert not api.service.has_camera("yard")
    assert refusal(await api.ask("GET", "/api/v1/cameras/yard")) == (404, "camera_unknown")
    assert changes_of(api) == {}


async def test_one_of_the_configuration_is_hidden_until_it_is_reset(api):
    assert (await api.ask("DELETE", "/api/v1/cameras/door", "operator")).status_code == 204
    assert (await api.ask("GET", "/api/v1/cameras", "viewer")).json()["removed"] == ["door"]
    again = await api.ask("PUT", "/api/v1/cameras/door", json={"url": "rtsp://192.0.2.7/"})
    assert refusal(again) == (409, "camera_exists")
    reset = await api.ask("POST", "/api/v1/cameras/door/reset", "operator")
    assert (reset.status_code, reset.json()["from"]) == (200, "yaml")
    assert refusal(await api.ask("POST", "/api/v1/cameras/nobody/reset")) == (404, "camera_unknown")


async def test_what_was_read_can_be_put_back_as_it_is(api):
    """Its URL is shown without the login, and stands for the one with it."""
    shown = (await api.ask("GET", "/api/v1/cameras/door")).json()
    settable = {key: shown[key] for key in shown if key not in ("name", "state", "reason", "from", "publish_to")}
    answer = await api.ask("PUT", "/api/v1/cameras/door", "operator", json=settable | {"fps": 9})
    assert (answer.status_code, answer.json()["fps"]) == (200, 9.0)
    (door,) = (camera for camera in api.service.cameras if camera.name == "door")
    assert door.settings.url == CAMERAS["door"]["url"]
    bare = await api.ask("PUT", "/api/v1/cameras/door", "operator", json={"enabled": False})
    assert (bare.status_code, bare.json()["fps"]) == (200, 10.0)  # the default, not the configuration's


async def test_of_two_who_have_read_the_same_one_is_late(api):
    etag = (await api.ask("GET", "/api/v1/cameras/door", "viewer")).headers["etag"]
    answers = await asyncio.gather(
        *[
            api.ask("PATCH", "/api/v1/cameras/door", headers={"If-Match": etag}, json={"fps": fps})
            for fps in (2.0, 3.0, 4.0)
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    (taken,) = [answer.json()["fps"] for answer in answers if answer.status_code == 200]
    assert (await api.ask("GET", "/api/v1/cameras/door")).json()["fps"] == taken


async def test_a_change_is_held_to_what_was_read(api):
    shown = await api.ask("GET", "/api/v1/cameras/door", "viewer")
    etag = shown.headers["etag"]
    unchanged = await api.ask("GET", "/api/v1/cameras/door", headers={"If-None-Match": etag})
    assert unchanged.status_code == 304
    first = await api.ask("PATCH", "/api/v1/cameras/door", headers={"If-Match": etag}, json={"fps": 3})
    assert first.status_code == 200
    for method, sent in (("PATCH", {"json": {"fps": 4}}), ("DELETE", {}), ("PUT", {"json": {"url": "rtsp://x/"}})):
        late = await api.ask(method, "/api/v1/cameras/door", headers={"If-Match": etag}, **sent)
        assert refusal(late) == (412, "precondition_failed")
    none = await api.ask("PUT", "/api/v1/cameras/new", headers={"If-Match": "*"}, json={"url": "rtsp://x/"})
    assert refusal(none) == (412, "precondition_failed")
    assert (await api.ask("GET", "/api/v1/cameras/door")).json()["fps"] == 3.0


# Each service takes a second of processor: these change nothing, so that one does for all.
REFUSED = [
    ("PATCH", "door", {"fps": -1}, 422, "request_invalid"),
    ("PATCH", "door", {"fps": "5"}, 422, "request_invalid"),
    ("PATCH", "door", {"frames": 1}, 422, "request_invalid"),
    ("PATCH", "door", {"added": True}, 422, "request_invalid"),
    ("PATCH", "nobody", {"fps": 1}, 404, "camera_unknown"),
    ("PUT", "Door", {"url": "x.mp4"}, 422, "request_invalid"),
    ("PUT", "new", {}, 422, "config_invalid"),
    ("PUT", "new", {"url": "gopher://x"}, 422, "stream_scheme"),
    ("PUT", "new", {"url": "publish://"}, 422, "request_invalid"),
    ("POST", "door/probe?seconds=11", None, 422, "request_invalid"),
]


async def test_what_does_not_hold_changes_nothing(api):
    for method, path, sent, status, code in REFUSED:
        answer = await api.ask(method, f"/api/v1/cameras/{path}", "admin", json=sent)
        if code == "stream_scheme":
            assert answer.status_code in (400, 404, 422, 502), answer.text
        else:
            assert refusal(answer) == (status, code), answer.text
        assert changes_of(api) == {}, (method, path, sent)


@pytest.mark.parametrize("url", ["http://198.51.100.7/?x=${HOME}", "rtsp://${WHOSTHERE_MQTT__PASSWORD}@x/", "${CLIP}"])
async def test_only_an_admin_may_send_what_this_machine_holds_somewhere(api, url):
    for path, method in (("cameras/new", "PUT"), ("cameras/door", "PATCH"), ("probe", "POST")):
        answer = await api.ask(method, f"/api/v1/{path}", "operator", json={"url": url})
        assert refusal(answer) == (403, "role_too_low")
    shown = (await api.ask("GET", "/api/v1/cameras/hall")).json()["url"]
    kept = await api.ask("PATCH", "/api/v1/cameras/hall", "operator", json={"url": shown, "fps": 2})
    assert kept.status_code == 200  # it has named them before
    assert (await api.ask("PATCH", "/api/v1/cameras/door", "admin", json={"url": url})).status_code == 200


async def test_a_camera_is_probed_beside_the_service(api):
    film = write_film(api.folder / "film.mp4", ([KNOWN], 1))
    answer = await api.ask("POST", "/api/v1/probe", "operator", json={"url": film.name})
    assert answer.status_code == 200, answer.text
    assert answer.json()["faces"] == 1
    assert answer.json()["width"] > 0
    gone = await api.ask("POST", "/api/v1/probe", "operator", json={"url": str(api.folder / "none.mp4")})
    assert refusal(gone) == (502, "camera_not_found")
    unset = await api.ask("POST", "/api/v1/cameras/hall/probe", "operator")
    assert refusal(unset) == (409, "camera_variable_unset")


async def test_cameras_that_nothing_can_change_are_told_all_the_same(tmp_path):
    async with running(tmp_path, {"door": CAMERAS["door"]}, follows=False) as (_, api):
        assert (await api.ask("GET", "/api/v1/cameras/door", "viewer")).json()["from"] == "yaml"
        assert refusal(await api.ask("PATCH", "/api/v1/cameras/door", json={"fps": 1})) == (409, "cameras_fixed")
