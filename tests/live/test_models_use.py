"""A running service whose embedder somebody chooses by hand, from another process; people keep their names."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended, assert_refused, whosthere
from tests.faces import KNOWN, NAME, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import ServiceProcess, until
from tests.live.subscriber import Event, Subscriber, assert_told_whole, names_of
from tests.twin import TWIN, write_twin

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

TOPIC = "whosthere/service/model"
OURS = "nano_embed"


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """She comes and goes, for as long as the test wants; two embedders could name her."""
    write_twin(tmp_path / "weights")
    film = write_film(tmp_path / "visits.mp4", ([KNOWN], 3), ([], 3))
    return {
        "paths": {"models": ["weights"], "data": "data"},
        "recognition": {"device": "cpu", "embedder": OURS, "ladder": [TWIN], "minimum_stay_s": 0},
        "cameras": {"door": {"url": str(film), "fps": 10, "loop": True}},
    }


def command(folder: Path, *arguments: str) -> Ended:
    """A command on the service's configuration, which may fail."""
    return whosthere(*arguments, "--config", folder / "whosthere-under-test.yaml", cwd=folder)


def models_of(event: Event) -> tuple[str, str]:
    return event["model"]["embedder"], event["model"]["signature"]


async def named_by(heard: Subscriber, model: str, signature: str) -> None:
    """Until a visit that began since has been named by this embedder."""
    since = len(heard.events("door"))

    def named() -> bool:
        return any(
            event["type"] == "new" and event["person"] and models_of(event) == (model, signature)
            for event in heard.events("door")[since:]
        )

    await until(named)


async def test_a_choice_by_hand_switches_a_running_service_and_auto_gives_it_back(config, tmp_path):
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        service = ServiceProcess(tmp_path, config | {"mqtt": {"port": broker.port}})
        service.run("enrol", NAME, KNOWN.file)
        (person,) = json.loads(service.run("people", "list", "--json"))["people"]
        assert person["templates"] == {"nano_embed.2": 1, f"{TWIN}.1": 1}, "enrolment makes those of the ladder"
        with service:
            await service.until_ready()
            begun = json.loads(heard.retained(TOPIC)[TOPIC])
            assert (begun["embedder"]["name"], begun["by_hand"]) == (OURS, None)
            await named_by(heard, OURS, begun["signature"])

            chosen = command(tmp_path, "models", "use", TWIN, "--json")
            assert (chosen.code, chosen.document["outcome"]) == (0, "serving"), chosen.err
            assert chosen.document["serving"]["name"] == TWIN
            await until(lambda: heard.on(TOPIC)[-1].document["by_hand"] == TWIN)
            told = json.loads(heard.retained(TOPIC)[TOPIC])
            assert (told["embedder"]["name"], told["reason"], told["by_hand_refused"]) == (TWIN, "by_hand", None)
            assert told["signature"] != begun["signature"]
            await named_by(heard, TWIN, told["signature"])
            assert await service.metric("whosthere_model_switches_total", reason="by_hand") == 1
            assert await service.metric("whosthere_model_active", model=TWIN) == 1

            given_back = command(tmp_path, "models", "use", "auto")
            assert given_back.code == 0, given_back.err
            assert f"{OURS} serves now on cpu" in given_back.out
            await until(lambda: heard.on(TOPIC)[-1].document["embedder"]["name"] == OURS)
            await named_by(heard, OURS, begun["signature"])

            refused = command(tmp_path, "models", "use", "arcface_r100")
            assert_refused(refused, "weights_missing")
            assert service.stop() == 0
        await until(lambda: [m.payload for m in heard.on("whosthere/service/state")][-1] == "stopped")
    visits = heard.visits("door")
    assert_told_whole(visits)
    assert [name for told in visits for name in names_of(told) if name not in (NAME, None)] == []
    signatures = {OURS: begun["signature"], TWIN: told["signature"]}
    for event in heard.events("door"):
        model, signature = models_of(event)
        assert signatures[model] == signature, "never one model's name with the other's signature"


async def test_a_service_that_can_not_follow_says_why_and_follows_once_it_can(config, tmp_path):
    """The command finds the weights in a folder that the service does not know."""
    with ServiceProcess(tmp_path, config | {"mqtt": {"port": 1}}) as service:
        await service.until_ready("models")
        manifest = service.data / "models.json"
        weights, elsewhere = tmp_path / "weights" / f"{TWIN}.onnx", tmp_path / "elsewhere"
        elsewhere.mkdir()
        weights.rename(elsewhere / weights.name)
        both = f'paths.models=["{weights.parent}", "{elsewhere}"]'
        ended = command(tmp_path, "models", "use", TWIN, "--set", both)
        assert ended.code == 1
        assert ended.complaints[-1].startswith(f"whosthere: {TWIN} does not serve: ")
        assert ended.complaints[-1].endswith(" [weights_missing]")
        assert ended.out == f"{OURS} serves now on cpu [first]: {json.loads(manifest.read_text())['embedder']['why']}\n"
        told = json.loads(manifest.read_text())
        assert (told["embedder"]["name"], told["by_hand_refused"]["code"]) == (OURS, "weights_missing")
        (elsewhere / weights.name).rename(weights)
        await until(lambda: json.loads(manifest.read_text())["embedder"]["name"] == TWIN)
        assert service.stop() == 0


async def test_a_model_that_is_named_later_waits_for_the_templates_of_those_enrolled_before(config, tmp_path):
    alone = config | {"recognition": config["recognition"] | {"ladder": []}}
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port, tmp_path) as heard:
        await heard.catch_up()
        mqtt = {"mqtt": {"port": broker.port}}
        ServiceProcess(tmp_path, alone | mqtt).run("enrol", NAME, KNOWN.file)
        # It looks seldom: what is told first is what stood before the templates were made.
        later = config | {"recognition": config["recognition"] | {"poll_s": 3}}
        service = ServiceProcess(tmp_path, later | mqtt)
        assert_refused(command(tmp_path, "models", "use", TWIN), "people_not_covered")
        with service:
            await until(lambda: heard.on(TOPIC))
            first = heard.on(TOPIC)[0].document
            against = {other["model"]: other["code"] for other in first["embedder"]["others"]}
            assert (first["embedder"]["name"], against[TWIN]) == (OURS, "people_not_covered")
            await until(lambda: code_against(heard, TWIN) != "people_not_covered")
            await service.until_metric("whosthere_gallery_uncovered", lambda left: left == 0, model=TWIN)
            chosen = command(tmp_path, "models", "use", TWIN, "--json")
            assert (chosen.code, chosen.document["outcome"]) == (0, "serving"), chosen.err
            await named_by(heard, TWIN, json.loads(heard.retained(TOPIC)[TOPIC])["signature"])
            assert service.stop() == 0
    assert {name for told in heard.visits("door") for name in names_of(told)} == {NAME}


def code_against(heard: Subscriber, model: str) -> str | None:
    """What the service says last against a model as such."""
    others = heard.on(TOPIC)[-1].document["embedder"]["others"]
    return next((other["code"] for other in others if other["model"] == model), None)
