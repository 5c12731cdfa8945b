"""A recogniser whose embedder is exchanged while it works: who asks meanwhile, what fails, what is given back.

The first half runs small real networks, the second a provider that does as it is told.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from recognition.errors import (
    CodedError,
    InsufficientMemory,
    NoModelServes,
    RunnerDead,
    TritonModelMismatch,
    TritonUnavailable,
    WeightsUnreadable,
)
from recognition.models.manager import ModelManager
from recognition.models.providers import OnnxProvider
from recognition.recogniser import Embedded, Recogniser, RecogniserConfig, open_recogniser
from recognition.selection.candidates import Placement
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from tests.ensembles import coloured_faces, tiny_model
from tests.recognition.fakes import until
from tests.recognition.scripted_provider import CountedMemory, ScriptedProvider, scripted_spec, write_space

LANES = 8
SWITCHES = 20
COLOURS = [(200, 40, 30), (30, 60, 220), (90, 200, 90)]


def place(name: str, bucket: int = 8) -> Placement:
    return Placement(name, "cpu", bucket)


# With real networks.


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """`one` and `two`, whose embeddings differ in length."""
    tiny_model(tmp_path, "one", dim=64, seed=1, threshold=0.9)
    tiny_model(tmp_path, "two", dim=48, seed=2, threshold=0.8)
    return tmp_path


@pytest.mark.parametrize("room_first", [False, True])
async def test_every_call_is_answered_by_one_model_while_it_is_exchanged_again_and_again(
    weights: Path, room_first: bool
) -> None:
    """Each camera has faces of its own, so that an answer that is another's shows."""
    config = RecogniserConfig("nano_det", "one", (weights,), device="cpu", runners=2, cpu_threads=2)
    asked = [coloured_faces(*COLOURS[: 1 + lane % 3], (10 * lane, 5, 250 - 20 * lane)) for lane in range(LANES)]
    answers: list[list[Embedded]] = [[] for _ in range(LANES)]
    over = asyncio.Event()

    async def camera(lane: int) -> None:
        while not over.is_set():
            answers[lane].append(await recogniser.embed(*asked[lane], f"camera{lane}"))

    async with open_recogniser(config) as recogniser:
        own = {}
        for name in ("two", "one"):
            await recogniser.embedding.switch(place(name))
            own[name] = [(await recogniser.embed(*faces, "alone")).embeddings for faces in asked]
        async with asyncio.TaskGroup() as cameras:
            for lane in range(LANES):
                cameras.create_task(camera(lane))
            for number in range(SWITCHES):
                new = ("two", "one")[number % 2]
                await recogniser.embedding.switch(place(new, (8, 1)[number % 3 == 0]), room_first=room_first)
                counts = [len(answered) for answered in answers]
                await until(lambda counts=counts: all(len(a) > n for a, n in zip(answers, counts, strict=True)))
            over.set()
        await until(lambda: [loaded.name for loaded in recogniser.manager.loaded()] == ["nano_det", "one"])
        assert {h.owner: h.users for h in recogniser.manager.ledger.holdings()} == {"nano_det": 1, "one": 1}

    for lane, answered in enumerate(answers):
        assert {one.model for one in answered} == {"one", "two"}
        for one in answered:
            assert one.space == f"{one.model}.1"
            np.testing.assert_allclose(one.embeddings, own[one.model][lane], atol=1e-5)


# With scripted ones.


class Embedders(ScriptedProvider):
    """The detector is a real one."""

    def supports(self, spec: EmbedderSpec) -> bool:
        return isinstance(spec, EmbedderSpec)


Opened = Callable[[Embedders], AbstractAsyncContextManager[Recogniser]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """A recogniser over scripted models a to d; a serves."""

    @asynccontextmanager
    async def begin(provider: Embedders) -> AsyncIterator[Recogniser]:
        specs = {"nano_det": load_specs()["nano_det"], **{name: scripted_spec(name) for name in "abcd"}}
        spaces, memory = write_space(tmp_path), CountedMemory(cpu=8000)
        manager = ModelManager([], specs=specs, spaces=spaces, providers=[provider, OnnxProvider()], reader=memory)
        config = RecogniserConfig("nano_det", "a", (), device="cpu", runners=1, cpu_threads=1)
        try:
            async with asyncio.timeout(30), open_recogniser(config, manager) as recogniser:
                yield recogniser
            assert {h.owner: h.users for h in manager.ledger.holdings() if h.users} == {}, "all is given back"
        finally:
            provider.gate.set()
            manager.close()

    return begin


async def model_of(recogniser: Recogniser) -> str:
    return (await recogniser.embed(*coloured_faces(*COLOURS), "a")).model


async def until_loading(provider: Embedders) -> None:
    """Until one more load stands at the gate."""
    await until(lambda: provider.loading.acquire(blocking=False))


def users(recogniser: Recogniser) -> dict[str, int]:
    return {h.owner: h.users for h in recogniser.manager.ledger.holdings() if h.owner != "nano_det"}


async def test_a_switch_that_fails_leaves_things_as_they_were(opened: Opened) -> None:
    provider = Embedders()
    provider.errors["b"] = [WeightsUnreadable("model b: scripted")]
    async with opened(provider) as recogniser:
        before = recogniser.embedder
        with pytest.raises(WeightsUnreadable):
            await recogniser.embedding.switch(place("b"))
        assert recogniser.embedder is before
        assert await model_of(recogniser) == "a"
        assert users(recogniser) == {"a": 1}
        await recogniser.embedding.switch(place("b"))
        assert await model_of(recogniser) == "b"
        await until(lambda: users(recogniser) == {"b": 1})
    assert provider.loads == {("a", "auto"): 1, ("b", "cpu"): 2}


async def test_after_a_failure_with_room_first_calls_say_what_that_was_until_a_switch_works(opened: Opened) -> None:
    provider = Embedders()
    async with opened(provider) as recogniser:
        provider.errors["b"] = [InsufficientMemory("model b: no room")]
        provider.gate.clear()
        async with asyncio.TaskGroup() as tasks:
            while provider.loading.acquire(blocking=False):
                pass
            switch = tasks.create_task(raised_by(recogniser.embedding.switch(place("b"), room_first=True)))
            await until_loading(provider)
            assert users(recogniser) == {"b": 0}, "the old one is gone, with its memory"
            waiting = tasks.create_task(raised_by(model_of(recogniser)))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done(), "there may be another in a moment"
            provider.gate.set()
        for error in (switch.result(), waiting.result(), await raised_by(model_of(recogniser))):
            assert (type(error), str(error)) == (InsufficientMemory, "model b: no room")
        await recogniser.embedding.switch(place("c"))
        assert await model_of(recogniser) == "c"
        await until(lambda: users(recogniser) == {"c": 1})


async def raised_by(work) -> Exception | None:
    try:
        await work
    except CodedError as error:
        return error
    return None


@pytest.mark.parametrize("room_first", [False, True])
async def test_who_is_interrupted_in_the_middle_of_a_switch_leaves_a_recogniser_that_can_be_switched(
    opened: Opened, room_first: bool
) -> None:
    provider = Embedders()
    async with opened(provider) as recogniser:
        provider.gate.clear()
        while provider.loading.acquire(blocking=False):
            pass
        switch = asyncio.ensure_future(recogniser.embedding.switch(place("b"), room_first=room_first))
        await until_loading(provider)
        switch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await switch
        provider.gate.set()
        if room_first:
            assert isinstance(await raised_by(model_of(recogniser)), NoModelServes)
        else:
            assert await model_of(recogniser) == "a"
        await recogniser.embedding.switch(place("c"))
        assert await model_of(recogniser) == "c"
        await until(lambda: {owner for owner, n in users(recogniser).items() if n} == {"c"})


async def test_who_is_interrupted_while_the_old_one_drains_has_changed_nothing(opened: Opened) -> None:
    provider = Embedders()
    async with opened(provider) as recogniser:
        with recogniser.embedder.in_use():
            switch = asyncio.ensure_future(recogniser.embedding.switch(place("b"), room_first=True))
            for _ in range(10):
                await asyncio.sleep(0)
            switch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await switch
            assert await model_of(recogniser) == "a"
        await recogniser.embedding.switch(place("b"), room_first=True)
        assert await model_of(recogniser) == "b"
        assert users(recogniser) == {"b": 1}


async def test_a_recogniser_that_ends_in_the_middle_of_a_switch_gives_everything_back(opened: Opened) -> None:
    provider = Embedders()
    async with opened(provider) as recogniser:
        provider.gate.clear()
        while provider.loading.acquire(blocking=False):
            pass
        switch = asyncio.ensure_future(raised_by(recogniser.embedding.switch(place("b"))))
        await until_loading(provider)
    assert isinstance(await switch, RunnerDead)
    assert provider.open == []


# When a run fails.


async def test_who_leaves_does_not_stop_the_search_for_another_place(opened: Opened) -> None:
    """One camera ends; the switch that its face began is for the others, too."""
    provider = Embedders()
    async with opened(provider) as recogniser:
        recogniser.embedding.on_trouble = lambda *_: goes_to("b", recogniser)
        provider.tensors[0].failing = InsufficientMemory("scripted")
        provider.gate.clear()
        while provider.loading.acquire(blocking=False):
            pass
        leaving = asyncio.ensure_future(model_of(recogniser))
        await until_loading(provider)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        provider.gate.set()
        await until(lambda: recogniser.embedder.name == "b")
        assert await model_of(recogniser) == "b"
        await until(lambda: users(recogniser) == {"b": 1})


async def goes_to(name: str, recogniser: Recogniser) -> bool:
    await recogniser.embedding.switch(place(name))
    return True


async def test_a_model_that_the_world_made_an_end_of_is_left_and_its_faces_are_served_elsewhere(opened: Opened) -> None:
    """Somebody put other weights on the server."""
    provider = Embedders()
    told = []
    async with opened(provider) as recogniser:

        async def trouble(where: Placement, error: CodedError) -> bool:
            told.append((where, str(error)))
            return len(told) > 1 and await goes_to("b", recogniser)

        recogniser.embedding.on_trouble = trouble
        provider.tensors[0].failing = TritonModelMismatch("model a: other weights")
        error = await raised_by(model_of(recogniser))
        assert isinstance(error, NoModelServes)
        assert "model a: other weights" in str(error)
        assert await model_of(recogniser) == "b"
        assert told == [(place("a"), "model a: other weights")] * 2
        await until(lambda: users(recogniser) == {"b": 1})


async def test_without_anybody_who_looks_for_another_place_the_trouble_is_told_as_it_is(opened: Opened) -> None:
    provider = Embedders()
    async with opened(provider) as recogniser:
        provider.tensors[0].failing = TritonModelMismatch("model a: other weights")
        for _ in range(2):
            error = await raised_by(model_of(recogniser))
            assert (type(error), str(error)) == (TritonModelMismatch, "model a: other weights")


async def test_a_run_that_fails_when_another_model_serves_already_is_made_there(opened: Opened) -> None:
    provider = Embedders()
    async with opened(provider) as recogniser:
        old, entered, leave = provider.tensors[0], threading.Event(), threading.Event()

        def hang(batch: np.ndarray) -> np.ndarray:
            entered.set()
            assert leave.wait(timeout=30)
            raise TritonUnavailable("no answer")

        old.answer = hang
        asking = asyncio.ensure_future(model_of(recogniser))
        await until(entered.is_set)
        await recogniser.embedding.switch(place("b"))
        leave.set()
        assert await asking == "b"
        await until(lambda: users(recogniser) == {"b": 1})
