"""What comes of a request's images, by the project's own networks."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from recognition import embed
from recognition.errors import ImageCutShort, ImageEmpty, ImageUnreadable, ModelNotFound, Overloaded
from recognition.image import decode_image
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from recognition.selection.candidates import Placement
from streamer.inference.engine import MOST_BODY_BYTES, InferenceEngine
from streamer.inference.reading import Seen, Wanted
from tests.ensembles import ensemble
from tests.faces import EVERYBODY, STRANGERS, head, picture_of
from tests.twin import TWIN, write_twin


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


SIX, TWO = png(picture_of(EVERYBODY[:6])), png(picture_of(STRANGERS[:2]))
PORTRAIT, NOBODY = png(head(EVERYBODY[0])), png(np.full((300, 400, 3), 90, np.uint8))


class Bench:
    def __init__(self, recogniser: Recogniser, ran: Counter[str]) -> None:
        self.recogniser = recogniser
        self.ran = ran  # items by model
        self.engine = InferenceEngine(recogniser, most_requests=2)


@asynccontextmanager
async def opened(*folders: Path, niceness: int = 1) -> AsyncIterator[Bench]:
    ran: Counter[str] = Counter()
    config = RecogniserConfig(
        "nano_det",
        "nano_embed",
        folders,
        device="cpu",
        runners=2,
        cpu_threads=2,
        patient_niceness=niceness,
        on_batch=lambda name, size: ran.update({name: size}),
    )
    async with open_recogniser(config) as recogniser:
        yield Bench(recogniser, ran)


def seen(outcome: object) -> Seen:
    assert isinstance(outcome, Seen)
    return outcome


@pytest.mark.parametrize("niceness", [0, 1])
async def test_the_faces_of_each_image_in_the_order_in_which_they_came(niceness):
    async with opened(niceness=niceness) as bench:
        reading = await bench.engine.read([TWO, NOBODY, SIX, PORTRAIT])
        image = decode_image(SIX, "six")
        found = await bench.recogniser.glance(image, "door")
        embedded = await bench.recogniser.embed(image, found.detections.landmarks, "door")
    two, nobody, six, portrait = map(seen, reading.images)
    assert [len(one) for one in (two, nobody, six, portrait)] == [2, 0, 6, 1]
    assert (two.width, two.height, portrait.width) == (960, 640, 256)
    np.testing.assert_array_equal(six.detections.boxes, found.detections.boxes)
    np.testing.assert_allclose(six.embeddings, embedded.embeddings, atol=1e-5)
    assert (reading.model, reading.size) == ("nano_embed", nobody.embeddings.shape[1])
    assert (reading.space, reading.signature) == (bench.recogniser.space, bench.recogniser.signature)


async def test_the_same_person_in_two_pictures_of_one_request():
    async with opened() as bench:
        portrait, six = map(seen, (await bench.engine.read([PORTRAIT, SIX])).images)
    cosines = sorted((six.embeddings @ portrait.embeddings[0]).tolist())
    assert cosines[-1] > 0.9
    assert cosines[-2] < 0.4


async def test_identical_images_are_computed_once():
    async with opened() as bench:
        once = (await bench.engine.read([TWO]), dict(bench.ran))[1]
        reading = await bench.engine.read([TWO, TWO, TWO, PORTRAIT[:50], TWO, PORTRAIT[:50]])
        assert bench.ran == {name: 2 * count for name, count in once.items()}
    assert {id(reading.images[place]) for place in (0, 1, 2, 4)} == {id(reading.images[0])}
    assert isinstance(reading.images[3], ImageCutShort)
    assert "images[3]" in str(reading.images[5])


async def test_one_bad_image_does_not_lose_the_others():
    wrong = ImageUnreadable("images[4] is no base64")
    async with opened() as bench:
        reading = await bench.engine.read([b"", TWO[: len(TWO) // 2], b"no image", TWO, wrong])
        none_is_good = await bench.engine.read([b"no image"])
        nothing = await bench.engine.read([])
    kinds = [type(one) for one in reading.images]
    assert kinds == [ImageEmpty, ImageCutShort, ImageUnreadable, Seen, ImageUnreadable]
    assert str(reading.images[1]).startswith("images[1] is cut short")
    assert reading.images[4] is wrong
    assert none_is_good.model == "nano_embed"
    assert nothing.images == ()


async def test_without_normalising_embeddings_are_as_the_network_gave_them():
    async with opened() as bench:
        unit = seen((await bench.engine.read([SIX])).images[0])
        raw = seen((await bench.engine.read([SIX], Wanted(normalize=False))).images[0])
        runner = bench.recogniser.embedder.runner
        crops = embed.crops(runner.spec, decode_image(SIX, "six"), raw.detections.landmarks)
        outputs = runner.run_each(embed.prepare(runner.spec, crops))
    np.testing.assert_allclose(raw.embeddings, [output[0].reshape(-1) for output in outputs], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(unit.embeddings, axis=1), 1, atol=1e-5)
    assert (np.abs(np.linalg.norm(raw.embeddings, axis=1) - 1) > 0.1).all()


async def test_crops_are_what_the_embedder_saw_and_candidates_what_the_detector_said():
    async with opened() as bench:
        plain = seen((await bench.engine.read([SIX])).images[0])
        full = seen((await bench.engine.read([SIX], Wanted(crops=True, candidates=True))).images[0])
        spec = bench.recogniser.embedder.spec
    assert (plain.crops, plain.candidates) == (None, None)
    assert full.crops is not None
    assert full.candidates is not None
    np.testing.assert_array_equal(full.crops, embed.crops(spec, decode_image(SIX, "six"), full.detections.landmarks))
    assert 6 < len(full.candidates) <= 300
    assert 0.05 <= full.candidates.scores.min() < 0.3
    assert (np.diff(full.candidates.scores) <= 0).all()
    np.testing.assert_allclose(full.candidates.scores[0], full.detections.scores[0], atol=1e-3)


async def test_thorough_finds_who_lies_on_the_side_and_says_what_is_no_face():
    turned = png(cv2.rotate(picture_of(STRANGERS[:3]), cv2.ROTATE_180))
    async with opened() as bench:
        quick, thorough = [
            seen((await bench.engine.read([turned], Wanted(thorough=thorough))).images[0]) for thorough in (False, True)
        ]
        upright = seen((await bench.engine.read([png(picture_of(STRANGERS[:3]))])).images[0])
    best = [(one.embeddings @ upright.embeddings.T).max(axis=0) for one in (quick, thorough)]
    assert best[0].min() < 0.5
    assert best[1].min() > 0.9


@pytest.mark.parametrize(
    ("picture", "scales"), [(PORTRAIT, 1), (png(cv2.resize(head(EVERYBODY[0]), (640, 640))), 2), (SIX, 1)]
)
async def test_a_face_that_fills_a_large_picture_is_looked_at_twice_and_nobody_else(picture, scales):
    async with opened() as bench:
        reading = await bench.engine.read([picture])
        assert bench.ran["nano_det"] == scales
    assert len(seen(reading.images[0])) >= 1


@pytest.mark.parametrize("model", ["unknown", "nano_det", ""])
async def test_a_model_that_is_no_embedder(model):
    async with opened() as bench:
        with pytest.raises(ModelNotFound):
            await bench.engine.read([TWO], Wanted(model=model))


@pytest.mark.parametrize("requests", [3, 5, 8])
async def test_loads_leave_threads_to_the_others(tmp_path, monkeypatch, requests):
    write_twin(tmp_path)
    may_load, loads = threading.Event(), list[int]()
    async with opened(tmp_path) as bench:
        lease = bench.recogniser.manager.lease

        def slow(spec: Any, *more: Any) -> Any:
            loads.append(1)
            may_load.wait(30)
            return lease(spec, *more)

        monkeypatch.setattr(bench.recogniser.manager, "lease", slow)
        asked = [asyncio.create_task(bench.engine.read([TWO], Wanted(model=TWIN))) for _ in range(requests)]
        async with asyncio.timeout(30):
            while len(loads) < 2:
                await asyncio.to_thread(lambda: None)  # there is a thread for others
        for _ in range(20):
            await asyncio.to_thread(lambda: None)
        waiting = len(loads)
        may_load.set()
        readings = await asyncio.gather(*asked)
    assert waiting == 2
    assert {reading.model for reading in readings} == {TWIN}


async def test_another_model_is_asked_beside_and_the_cameras_keep_theirs(tmp_path):
    write_twin(tmp_path)
    async with opened(tmp_path) as bench:
        spec = bench.recogniser.manager.spec(TWIN)
        pair = ensemble(tmp_path, "pair", [bench.recogniser.embedder.spec, spec], "concat_l2")  # type: ignore[list-item]
    async with opened(tmp_path) as bench:
        own = await bench.engine.read([SIX], Wanted(model="nano_embed"))
        twin, both = [await bench.engine.read([SIX], Wanted(model=name)) for name in (TWIN, "pair")]
        assert bench.recogniser.embedder.name == "nano_embed"
        assert sorted(runner.name for runner in bench.recogniser.manager.loaded()) == [
            *("nano_det", "nano_embed"),
            *(TWIN, "pair"),
        ]
        no_face = await bench.engine.read([NOBODY], Wanted(model=TWIN))
    assert [(one.model, one.space) for one in (own, twin, both)] == [
        ("nano_embed", "nano_embed.2"),
        (TWIN, f"{TWIN}.1"),
        ("pair", pair.space),
    ]
    assert len({own.signature, twin.signature, both.signature}) == 3
    alone, joined = seen(own.images[0]).embeddings, seen(both.images[0]).embeddings
    assert joined.shape == (6, 2 * alone.shape[1]) == (6, both.size)
    np.testing.assert_allclose(seen(twin.images[0]).embeddings, alone, atol=1e-5)
    np.testing.assert_allclose(joined, np.tile(alone, 2) / np.sqrt(2), atol=1e-5)
    assert (no_face.model, seen(no_face.images[0]).embeddings.shape) == (TWIN, (0, twin.size))


async def test_all_of_an_answer_is_by_one_model_whatever_is_switched_meanwhile(tmp_path):
    write_twin(tmp_path)
    pictures = [png(picture_of(EVERYBODY[place : place + 2])) for place in range(5)] * 4
    pictures = [data + bytes([number]) for number, data in enumerate(pictures)]
    async with opened(tmp_path) as bench:
        slot = bench.recogniser.embedding
        reads = [asyncio.ensure_future(bench.engine.read(pictures)) for _ in range(2)]
        for name in (TWIN, "nano_embed", TWIN):
            await slot.switch(Placement(name, "cpu", 1))
        readings = [await read for read in reads]
        named = await bench.engine.read(pictures[:2], Wanted(model="nano_embed"))
    for reading in readings:
        assert (reading.model, reading.space) in (("nano_embed", "nano_embed.2"), (TWIN, f"{TWIN}.1"))
        assert [len(seen(one)) for one in reading.images] == [2] * 20
    assert named.model == "nano_embed"


async def test_no_more_requests_than_there_are_places_for():
    async with opened() as bench:
        async with bench.engine.admitted(), bench.engine.admitted():
            assert bench.engine.requests == 2
            with pytest.raises(Overloaded, match="2 requests"):
                async with bench.engine.admitted():
                    pass
        async with bench.engine.admitted():
            assert bench.engine.requests == 1


async def test_bodies_of_all_requests_together_are_bounded_but_one_alone_is_taken():
    async with opened() as bench:
        async with bench.engine.admitted(MOST_BODY_BYTES + 1):
            for size in (1, MOST_BODY_BYTES):
                with pytest.raises(Overloaded, match="bodies of 256 MiB"):
                    async with bench.engine.admitted(size):
                        pass
        async with bench.engine.admitted(MOST_BODY_BYTES - 1), bench.engine.admitted(1):
            assert bench.engine.requests == 2


async def test_a_request_that_is_given_up_leaves_nothing_behind():
    pictures = [SIX + bytes([number]) for number in range(40)]
    async with opened() as bench:
        read = asyncio.ensure_future(bench.engine.read(pictures))
        async with asyncio.timeout(10):
            while not bench.ran:
                await asyncio.sleep(0)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        assert len(seen((await bench.engine.read([TWO])).images[0])) == 2
        assert set(bench.recogniser.queue_depths().values()) == {0}
