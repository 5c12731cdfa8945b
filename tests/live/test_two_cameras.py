"""Acceptance: cameras in, names out. Two RTSP cameras, one person enrolled from each, and clips that show nobody."""

from collections import Counter

import pytest

from recognition.recogniser import RecogniserConfig, open_recogniser
from streamer.demo.scene import write_stills
from tests.conftest import LARGER
from tests.faces import KNOWN, NAME, STRANGERS, place_of, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.portraits import take_portraits
from tests.live.servers import RtspServer, unused_port
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Subscriber, assert_told_whole, names_of

pytestmark = [pytest.mark.live, pytest.mark.both_cores, pytest.mark.timeout(240)]

NEGATIVE_FRAMES = 1394


@pytest.fixture
def clips(shared):
    return {
        "street": shared / "video" / "street_crowd_1080p_4s.mp4",
        "friends": shared / "video" / "friends1_720p_6s.mp4",
        "empty": shared / "video" / "one_by_one_person_432p_139s.mp4",
    }


async def test_pictures_that_come_with_the_project(tmp_path):
    """Two people enrolled and four whom nobody knows, at two cameras, and a wall at a third."""
    friend, *strangers = STRANGERS
    films = {
        "door": write_film(tmp_path / "door.mp4", ([KNOWN, *strangers[:2]], 3), ([], 3)),
        "hall": write_film(tmp_path / "hall.mp4", ([friend, None, None, *strangers[2:]], 3), ([], 3)),
        "wall": write_film(tmp_path / "wall.mp4", ([], 1)),
    }
    names = {"door": NAME, "hall": "Grace Hopper"}
    with (
        Mosquitto(tmp_path) as broker,
        RtspServer(unused_port(), films, login=("cam", "p@ss:w/rd")) as cameras,
        Subscriber(broker.port, tmp_path) as heard,
    ):
        await heard.catch_up()
        config = {
            "paths": {"data": "data"},
            "mqtt": {"port": broker.port},
            "cameras": {mount: {"url": cameras.url(mount), "fps": 10} for mount in films},
        }
        service = ServiceProcess(tmp_path, config)
        assert "3 of 3 photos enrolled" in service.run("enrol", NAME, *write_stills(tmp_path))
        assert "1 of 1 photos enrolled" in service.run("enrol", names["hall"], friend.file)
        with service:
            await service.until_ready()

            def ended(camera):
                """The names that whole visits were given."""
                return {name for told in heard.visits(camera) if told[-1]["type"] == "end" for name in names_of(told)}

            await until(lambda: all({names[camera], None} <= ended(camera) for camera in names), 120)
            assert service.stop() == 0
        await until(lambda: [m.payload for m in heard.on("whosthere/service/state")][-1] == "stopped")

    assert_told_whole(heard.visits())
    for camera, name in names.items():
        for event in heard.events(camera):
            assert event["person"] is None or (event["person"]["name"], place_of(event["box"])) == (name, 0), event
    assert heard.events("wall") == []
    assert heard.misaddressed() == []
    assert "p@ss" not in service.log_file.read_text() + str(heard.messages())


@pytest.mark.thorough
@pytest.mark.shared
@pytest.mark.timeout(900)
async def test_two_rtsp_cameras_and_one_where_nobody_is(shared, clips, tmp_path):
    async with open_recogniser(
        RecogniserConfig("scrfd_500m", "arcface_w600k_mbf", weights_folders=(shared / "models",))
    ) as recogniser:
        people = {
            "street": await take_portraits(clips["street"], recogniser, tmp_path / "street"),
            "friends": await take_portraits(clips["friends"], recogniser, tmp_path / "friends"),
        }
    names = {"street": "Ada Lovelace", "friends": "Grace Hopper"}
    with (
        Mosquitto(tmp_path) as broker,
        RtspServer(unused_port(), clips, login=("cam", "p@ss:w/rd")) as cameras,
        Subscriber(broker.port, tmp_path) as heard,
    ):
        await heard.catch_up()
        config = {
            "paths": {"models": [str(shared / "models")], "data": "data"},
            "recognition": LARGER,
            "mqtt": {"port": broker.port},
            # The negative clip over RTSP for as long as the others run, and once from beginning to end.
            "cameras": {mount: {"url": cameras.url(mount), "fps": 10} for mount in clips}
            | {"whole": {"url": str(clips["empty"]), "fps": 10, "pace": "fastest"}},
        }
        service = ServiceProcess(tmp_path, config)
        for camera, portraits in people.items():
            report = service.run("enrol", names[camera], *portraits.photos, "--pick", "largest")
            assert "3 of 3 photos enrolled" in report
        with service:
            await service.until_ready()

            def enough(camera):
                told = [names_of(visit) for visit in heard.visits(camera)]
                return [names[camera]] in told and [None] in told

            await until(lambda: all(enough(camera) for camera in people), 240)
            await until(
                lambda: heard.status("whole") == {"state": "offline", "reason": "ended"}, 600
            )  # minutes on processors without VNNI
            whole = await service.metric("whosthere_frames_total", camera="whole", outcome="processed")
            assert whole == NEGATIVE_FRAMES
            await service.until_ready()
            assert service.stop() == 0
        await until(lambda: [m.payload for m in heard.on("whosthere/service/state")][-1] == "stopped")

    for camera, portraits in people.items():
        visits = heard.visits(camera)
        assert_told_whole(visits)
        assert {name for told in visits for name in names_of(told)} == {names[camera], None}
        for event in heard.events(camera):
            assert event["person"] is None or portraits.is_seen_at(event["box"]), event
    assert heard.events("empty") == []
    assert heard.events("whole") == []
    assert heard.misaddressed() == []
    # Nothing went wrong on the way, so nothing was said twice.
    sent = Counter(
        (m.topic, m.document["event_id"], m.document["seq"]) for m in heard.messages() if "/identity/" in m.topic
    )
    assert set(sent.values()) == {1}
    said = [line["message"] for line in service.log() if line["level"] in ("warning", "error")]
    assert [line for line in said if not line.startswith("HTTP lets nobody in yet")] == []
    assert "p@ss" not in service.log_file.read_text() + str(heard.messages())
