"""Enrolment by models on a server that comes and goes: what may pass is tried again, else that photo is refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import pytest

from gallery.enrolment.enrol import EnrolReport, Gate, Terms, enrol
from gallery.errors import InferenceFailed, NoPhotoAccepted
from recognition.errors import EmbeddingUnusable, RunnerDead, TritonUnavailable
from recognition.models.manager import ModelManager
from recognition.models.providers import default_providers
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from recognition.specs.profile import SpecProfile, TritonModel
from streamer.model_layer.patient_finder import ATTEMPTS, PatientFinder
from tests.faces import KNOWN
from tests.galleries import open_store
from tests.streamer.scripted_server import ScriptedServer


class Desk:
    """A recogniser whose two models run on a server, and the waits of the finder that asks it."""

    def __init__(self, server: ScriptedServer, recogniser: Recogniser, photos: list[Path], data: Path) -> None:
        self.server = server
        self.recogniser = recogniser
        self.photos = photos
        self.data = data
        self.waits = 0
        self.up_after_waits = 10**9

    async def sleep(self, seconds: float) -> None:
        self.waits += 1
        self.server.up = self.server.up or self.waits >= self.up_after_waits

    async def enrol(self, down_for: int) -> EnrolReport:
        """The server goes down as the photo of this number is looked at, and is back for the next one."""

        def progress(done: int, total: int) -> None:
            self.server.up = done != down_for

        finder = PatientFinder(self.recogniser, sleep=self.sleep)
        threshold = self.recogniser.embedder.spec.identification_threshold
        with open_store(self.data / "gallery.db") as store:
            return await enrol("Ada", self.photos, finder, store, Terms(Gate(48, 0.25), threshold), progress=progress)


@pytest.fixture(params=["nano_embed", "nano_det"])
def served(request: pytest.FixtureRequest) -> str:
    """The model that the server has."""
    return str(request.param)


@pytest.fixture
async def desk(tmp_path: Path, served: str) -> AsyncIterator[Desk]:
    photos = []
    for number, shade in enumerate((1.0, 0.95, 0.9)):
        photos.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(photos[-1]), (KNOWN.image().bgr() * shade).astype("uint8"))
    server = ScriptedServer()
    profile = SpecProfile(runtime="triton", triton=TritonModel(model=served, version="7"))
    manager = ModelManager([], profiles={served: profile}, providers=[server, *default_providers()])
    config = RecogniserConfig("nano_det", "nano_embed", (), device="cpu", runners=1)
    try:
        async with open_recogniser(config, manager) as recogniser:
            yield Desk(server, recogniser, photos, tmp_path)
    finally:
        manager.close()


async def test_a_server_that_blinks_costs_no_photo(desk: Desk) -> None:
    desk.up_after_waits = 3
    report = await desk.enrol(down_for=1)
    assert [path for path, _ in report.taken] == desk.photos
    assert (report.refused, desk.waits) == ((), 3)


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_photo_that_gets_no_answer_is_refused_and_the_others_go_on(
    desk: Desk, served: str, number: int
) -> None:
    report = await desk.enrol(down_for=number)
    assert desk.waits == ATTEMPTS - 1
    assert [path for path, _ in report.taken] == [path for path in desk.photos if path != desk.photos[number]]
    ((path, code, why),) = report.refused
    assert (path, code) == (desk.photos[number], "inference_failed")
    assert why.startswith(f"model {served} (version 7, on triton) gave no answer in {ATTEMPTS} tries (")
    assert "connection refused" in why
    assert "\n" not in why


async def test_nobody_is_enrolled_while_nothing_answers(desk: Desk) -> None:
    desk.photos = desk.photos[:1]
    with pytest.raises(NoPhotoAccepted, match="inference_failed"):
        await desk.enrol(down_for=0)


@pytest.mark.parametrize("error", [EmbeddingUnusable("zeros"), RunnerDead("gone"), ZeroDivisionError()])
async def test_what_trying_again_does_not_mend_goes_up_at_once(
    desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(desk.recogniser, "detect", fail)
    finder = PatientFinder(desk.recogniser, sleep=desk.sleep)
    with pytest.raises(type(error)):
        await finder.detect(KNOWN.image(), "photo")
    assert desk.waits == 0


async def test_the_model_of_this_process_is_named_by_its_spec(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise TritonUnavailable("away")

    here = desk.recogniser.embedder if desk.recogniser.detector.device == "triton" else desk.recogniser.detector
    monkeypatch.setattr(desk.recogniser, "detect" if here is desk.recogniser.detector else "in_every_space", fail)
    finder = PatientFinder(desk.recogniser, sleep=desk.sleep)
    asked = finder.detect(KNOWN.image(), "photo")
    if here is desk.recogniser.embedder:
        asked.close()
        asked = finder.in_every_space(KNOWN.image(), None)
    with pytest.raises(InferenceFailed, match=rf"model {here.name} \(version {here.spec.version}, on cpu\)"):
        await asked


async def test_another_model_of_the_ladder_is_named_by_its_own_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise TritonUnavailable("model other: other version 3 on Triton at 192.0.2.1:8001: connection refused")

    monkeypatch.setattr(desk.recogniser, "in_every_space", fail)
    with pytest.raises(InferenceFailed, match=r"^model other gave no answer in 6 tries \(model other: other version 3"):
        await PatientFinder(desk.recogniser, sleep=desk.sleep).in_every_space(KNOWN.image(), None)
