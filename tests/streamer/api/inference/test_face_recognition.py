"""/api/v1/face-recognition over a real server and real models (nano, and a twin of it in a space of its own)."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import pytest_asyncio

from gallery.matching.calibration import Calibration, Conditions
from gallery.matching.rerank import Reranker
from streamer.api.inference.routers import inference_routes
from streamer.events.event import Models
from streamer.inference.engine import InferenceEngine
from streamer.inference.face_recognition import FaceRecognition
from streamer.inference.inference import Inference
from streamer.pipeline.match_policy import MatchPolicy
from streamer.settings import FaceRecognitionSettings, HttpSettings, Settings
from streamer.telemetry.metrics import Metrics
from tests.faces import KNOWN, STRANGERS, picture_of
from tests.streamer.api.v1.api import Api, refusal, served
from tests.streamer.model_layer.test_layer import running, settings_in
from tests.twin import TWIN, write_twin

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/api/v1/face-recognition"


@dataclass
class Office:
    api: Api
    faces: FaceRecognition
    metrics: Metrics
    known: dict[str, MatchPolicy]


def jpeg(*cast) -> bytes:
    return cv2.imencode(".jpg", picture_of(cast))[1].tobytes()


def photo(image: bytes) -> dict[str, object]:
    return {"files": {"image": ("a.jpg", image, "image/jpeg")}}


ADA, BOB = jpeg(KNOWN), jpeg(STRANGERS[0])
LATER = cv2.imencode(".jpg", cv2.convertScaleAbs(cv2.flip(picture_of((KNOWN,), sway=1.0), 1), alpha=0.8))[1].tobytes()
BLURRED = cv2.imencode(".jpg", cv2.GaussianBlur(picture_of((KNOWN,)), (0, 0), 3))[1].tobytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory):
    """One for all tests, in a task of its own: what it is made of has to be closed where it was opened."""
    made, over = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def run() -> None:
        async with opened(tmp_path_factory.mktemp("office")) as office:
            made.set_result(office)
            await over.wait()

    running = asyncio.create_task(run())
    await asyncio.wait([made, running], return_when=asyncio.FIRST_COMPLETED)
    yield made.result() if made.done() else await running
    over.set()
    await running


@asynccontextmanager
async def opened(folder: Path):
    write_twin(folder / "weights")
    rules = FaceRecognitionSettings(max_concurrent_requests=2, embedding_cache_size=8)
    settings: Settings = settings_in(folder, minimum_stay_s=0)
    settings = settings.model_copy(update={"http": HttpSettings(face_recognition=rules)})
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        layer, _ = await stack.enter_async_context(running(settings, metrics=metrics))
        known: dict[str, MatchPolicy] = {}
        inference = Inference.of(settings, layer, Reranker(), known.get)
        api = await stack.enter_async_context(served(folder, inference_routes(inference, metrics)))
        api.client.timeout = httpx.Timeout(60)
        yield Office(api, inference.faces, metrics, known)


async def extracted(office: Office, image: bytes, model: str = "") -> dict[str, object]:
    answer = await office.api.ask(
        "POST", f"{PATH}/extract-embedding{model and f'?model={model}'}", "operator", **photo(image)
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_photos_embedding_and_what_is_said_of_the_face(office):
    found = await extracted(office, ADA)
    embedding = np.array(found["embedding"], np.float32)
    assert embedding.shape == (office.faces._recogniser.embedder.spec.embedding_size,)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)
    assert (found["success"], found["model_used"], found["faces"]) == (True, "nano_embed", 1)
    assert 0.3 < found["confidence"] <= 1
    assert 0.3 < found["face_quality"] <= 1
    assert found["processing_time"] > 0
    left, top, right, bottom = found["box"]
    assert 0 <= left < right <= 960
    assert 0 <= top < bottom <= 640
    assert found["figures"]["size_px"] > 40


async def test_a_model_beside_answers_in_its_own_name_and_the_cameras_stays(office):
    found = await extracted(office, ADA, TWIN)
    assert found["model_used"] == TWIN
    assert office.faces.current_model == "nano_embed"
    assert np.dot(found["embedding"], (await extracted(office, ADA))["embedding"]) == pytest.approx(1.0, abs=1e-3)


async def test_a_photo_that_comes_again_is_not_looked_at_again(office, monkeypatch):
    first = await extracted(office, BOB)

    async def never(*_: object) -> None:
        raise AssertionError("it was looked at again")

    monkeypatch.setattr(InferenceEngine, "read", never)
    again = await extracted(office, BOB)
    assert again["embedding"] == first["embedding"]
    monkeypatch.undo()
    office.faces.forget()
    assert len(office.faces._cache) == 0
    assert (await extracted(office, BOB))["embedding"] == pytest.approx(first["embedding"])


async def test_the_largest_of_several_faces(office):
    small = cv2.resize(picture_of((STRANGERS[1],)), (480, 320))
    both = np.concatenate([picture_of((KNOWN,)), cv2.copyMakeBorder(small, 0, 320, 0, 0, cv2.BORDER_REPLICATE)], axis=1)
    found = await extracted(office, cv2.imencode(".png", both)[1].tobytes())
    ada = (await extracted(office, ADA))["embedding"]
    assert found["faces"] == 2
    assert np.dot(found["embedding"], ada) > 0.9


BLANK = cv2.imencode(".png", np.full((200, 200, 3), 90, np.uint8))[1].tobytes()
NOT_A_FACE = {
    "no face": (BLANK, (422, "no_face")),
    "no image": (b"not an image at all", (422, "image_unreadable")),
    "nothing": (b"", (422, "image_empty")),
    "cut short": (ADA[: len(ADA) // 3], (422, "image_cut_short")),
    "upside down and tiny": (cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes(), (422, "no_face")),
}


@pytest.mark.parametrize("case", NOT_A_FACE)
async def test_photos_of_which_there_is_no_embedding(office, case):
    image, expected = NOT_A_FACE[case]
    answer = await office.api.ask("POST", f"{PATH}/extract-embedding", **photo(image))
    assert refusal(answer) == expected
    assert "images[" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"minimum_face_quality": 1.0}, "where 1.00 is wanted"),
        ({"minimum_sharpness": 1.0}, "too blurred (sharpness"),
        ({"optimal_brightness_range": (0.9, 1.0)}, "too dark (brightness"),
        ({"optimal_brightness_range": (0.0, 0.05)}, "too bright (brightness"),
    ],
)
async def test_faces_that_are_not_good_enough(office, monkeypatch, rules, says):
    monkeypatch.setattr(office.faces, "_rules", FaceRecognitionSettings(**rules))
    answer = await office.api.ask("POST", f"{PATH}/extract-embedding", **photo(BLURRED))
    assert refusal(answer) == (422, "quality_too_low")
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"json": {}}, (415, "media_type_unsupported")),
        ({"files": {"photo": ("a.jpg", b"x")}}, (422, "request_invalid")),
        ({"files": [("image", ("a.jpg", b"x")), ("image", ("b.jpg", b"x"))]}, (400, "bad_request")),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, (400, "bad_request")),
    ],
)
async def test_bodies_that_are_no_photo(office, sent, expected):
    assert refusal(await office.api.ask("POST", f"{PATH}/extract-embedding", **sent)) == expected


async def test_a_model_that_nobody_knows(office):
    answer = await office.api.ask("POST", f"{PATH}/extract-embedding?model=nonesuch", **photo(ADA))
    assert refusal(answer) == (404, "model_not_found")


async def compared(office: Office, **body: object) -> httpx.Response:
    return await office.api.ask("POST", f"{PATH}/compare-faces", "operator", json=body)


async def matched(office: Office, **body: object) -> httpx.Response:
    return await office.api.ask("POST", f"{PATH}/match-face", "operator", json=body)


async def test_one_person_and_two(office):
    ada, later, bob = [(await extracted(office, image))["embedding"] for image in (ADA, LATER, BOB)]
    same = (await compared(office, embedding1=ada, embedding2=later)).json()
    verification = office.faces._recogniser.embedder.spec.thresholds
    assert (same["success"], same["is_match"], same["model_used"]) == (True, True, "nano_embed")
    assert same["match_threshold"] == verification.cosine_at(verification.verification)
    assert same["similarity"] == pytest.approx(float(np.dot(ada, later)), abs=1e-5)
    other = (await compared(office, embedding1=ada, embedding2=bob)).json()
    assert not other["is_match"]
    assert other["similarity"] < same["similarity"]


async def test_a_gallery_that_comes_with_it(office):
    ada, later, bob = [(await extracted(office, image))["embedding"] for image in (ADA, LATER, BOB)]
    gallery = [{"id": "bob", "embedding": bob}, {"id": 7, "embedding": ada}]
    answer = (await matched(office, query_embedding=later, gallery_embeddings=gallery)).json()
    assert [one["identity_id"] for one in answer["matches"]] == [7, "bob"]
    assert [one["is_match"] for one in answer["matches"]] == [True, False]
    assert (answer["success"], answer["decision"], answer["identity_id"]) == (True, "known", 7)
    assert answer["matches"][0]["match_threshold"] == office.faces._recogniser.embedder.spec.identification_threshold
    strict = await matched(office, query_embedding=later, gallery_embeddings=gallery, threshold=1.0, limit=1)
    assert (strict.json()["decision"], len(strict.json()["matches"])) == ("unknown", 1)
    assert strict.json()["matches"][0]["match_threshold"] == 1.0
    nobody = (await matched(office, query_embedding=later, gallery_embeddings=[])).json()
    assert (nobody["matches"], nobody["decision"]) == ([], "unknown")


async def test_the_gallerys_own_word_counts_where_it_has_one(office):
    ada, bob = [(await extracted(office, image))["embedding"] for image in (ADA, BOB)]
    asked = {
        "query_embedding": ada,
        "gallery_embeddings": [{"id": "ada", "embedding": ada}, {"id": "b", "embedding": bob}],
    }
    (space,) = office.faces._policy_of(office.faces._recogniser.embedder.spec).spaces
    calibration = Calibration(
        space.space, 0.01, 0.875, 0.01, None, 2, 2, 1, None, "", 0.0, 1.0,
        Conditions("", "class_mean", 0.05, 0.15), ((0.0, 0.25), (1.0, 0.75)), 0.0,
    )  # fmt: skip
    office.known["nano_embed"] = MatchPolicy(
        Models(detector="d", embedder="nano_embed", signature="s"),
        (replace(space, threshold=0.875, calibration=calibration),),
    )
    try:
        first, second = (await matched(office, **asked)).json()["matches"]
    finally:
        office.known.clear()
    assert (first["match_threshold"], first["is_match"]) == (0.875, True)
    assert first["confidence"] == pytest.approx(0.75)
    assert second["confidence"] == pytest.approx(1 - 0.25 - second["similarity"] / 2)


async def test_numbers_of_no_model_can_be_held_to_a_threshold_alone(office):
    answer = await compared(office, embedding1=[3, 4], embedding2=[4, 3], threshold=0.9)
    assert answer.json() | {"processing_time": 0} == {
        "success": True,
        "similarity": pytest.approx(0.96, abs=1e-6),
        "is_match": True,
        "match_threshold": 0.9,
        "confidence": None,
        "model_used": None,
        "processing_time": 0,
    }
    assert refusal(await compared(office, embedding1=[3, 4], embedding2=[4, 3])) == (422, "embedding_space_mismatch")
    said = await compared(office, embedding1=[3, 4], embedding2=[4, 3], threshold=0.9, model="nano_embed")
    assert refusal(said) == (422, "embedding_space_mismatch")


async def test_embeddings_that_can_not_be_compared(office):
    ada = (await extracted(office, ADA))["embedding"]
    cases = {
        "another length": await compared(office, embedding1=ada, embedding2=ada[:-1]),
        "zeros": await compared(office, embedding1=ada, embedding2=[0.0] * len(ada)),
        "no number": await matched(office, query_embedding=["x"] * len(ada), gallery_embeddings=[]),
        "a gallery of another length": await matched(
            office, query_embedding=ada, gallery_embeddings=[{"id": "a", "embedding": ada[1:]}]
        ),
    }
    assert {case: refusal(answer) for case, answer in cases.items()} == dict.fromkeys(cases, (422, "embedding_invalid"))
    said = [{"id": "a", "embedding": ada, "model": "nano_embed"}, {"id": "b", "embedding": ada, "model": TWIN}]
    answer = await matched(office, query_embedding=ada, gallery_embeddings=said)
    assert refusal(answer) == (422, "embedding_space_mismatch")
    assert "two spaces" in answer.json()["detail"]
    assert refusal(await compared(office, embedding1=ada, embedding2=ada, model="nonesuch")) == (404, "model_not_found")


async def test_what_is_counted(office):
    async def told() -> dict[str, object]:
        answer = await office.api.ask("GET", f"{PATH}/statistics", "viewer")
        return dict(answer.json())

    before = await told()
    ada = (await extracted(office, ADA))["embedding"]
    await compared(office, embedding1=ada, embedding2=ada)
    await matched(office, query_embedding=ada, gallery_embeddings=[{"id": "a", "embedding": ada}], threshold=0.99)
    await compared(office, embedding1=ada, embedding2=[0])  # refused: no answer
    office.metrics.events.labels(type="new", known="true").inc()
    office.metrics.events.labels(type="new", known="false").inc(3)
    after = await told()
    rises = {
        key: after[key] - before[key] for key in ("total_recognitions", "total_matches", "extractions", "comparisons")
    }
    assert rises == {"total_recognitions": 3, "total_matches": 2, "extractions": 1, "comparisons": 2}
    assert after["match_rate"] == after["total_matches"] / after["total_recognitions"]
    assert after["average_processing_time"] > 0
    assert after["model_usage"]["nano_embed"] == before["model_usage"]["nano_embed"] + 3
    assert after["current_model"] == "nano_embed"
    assert after["cameras"] == {"total_recognitions": 4, "total_matches": 1, "match_rate": 0.25}


async def test_beyond_so_many_at_once_they_are_refused(office):
    async with office.faces.admitted(), office.faces.admitted():
        answer = await compared(office, embedding1=[1], embedding2=[1])
        assert refusal(answer) == (429, "overloaded")
        assert answer.headers["retry-after"]
        assert (await office.api.ask("GET", f"{PATH}/statistics")).status_code == 200
    assert refusal(await compared(office, embedding1=[1], embedding2=[1])) == (422, "embedding_space_mismatch")


async def test_which_model_serves_is_changed_and_given_back(office):
    async def switched(name: str) -> httpx.Response:
        return await office.api.ask("POST", f"{PATH}/switch-model", "operator", json={"model_name": name})

    assert (await switched(TWIN)).json() == {"success": True, "current_model": TWIN}
    assert (await extracted(office, ADA))["model_used"] == TWIN
    assert refusal(await switched("nonesuch")) == (404, "model_not_found")
    assert refusal(await switched("adaface_ir101")) == (503, "weights_missing")
    assert office.faces.current_model == TWIN
    assert (await switched("nano_embed")).json()["current_model"] == "nano_embed"
    assert (await switched("auto")).status_code == 200


async def test_who_may_what(office):
    for path in ("extract-embedding", "compare-faces", "match-face", "switch-model"):
        assert refusal(await office.api.ask("POST", f"{PATH}/{path}", "viewer")) == (403, "role_too_low")
    assert refusal(await office.api.ask("GET", f"{PATH}/statistics", None)) == (401, "token_missing")


async def test_two_switches_at_once_are_made_one_after_the_other(office):
    names = [TWIN, "nano_embed", TWIN, "nano_embed"]
    answers = await asyncio.gather(
        *(office.api.ask("POST", f"{PATH}/switch-model", json={"model_name": name}) for name in names)
    )
    assert [answer.json() for answer in answers] == [{"success": True, "current_model": name} for name in names]
