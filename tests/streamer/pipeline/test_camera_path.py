"""A camera's data path over scripted frames: order, fullness, ends. No pixels, no models, no servers."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from gallery.matching.decide import Match
from recognition.errors import CodedError, InsufficientGpuMemory, Overloaded, RunnerDead, TritonUnavailable
from recognition.faces import Detections
from recognition.recogniser import Embedded, Found, Recogniser
from recognition.second_look import Looked
from streamer.errors import StreamLost
from streamer.events.event import Due, Models
from streamer.events.outbox import Outbox
from streamer.ingest.frame import Frame
from streamer.kept_visits.camera_visits import CameraVisits
from streamer.looking.looking import Looking
from streamer.motion.attention import Attention
from streamer.motion.moved import Moved
from streamer.pipeline.camera_path import CameraPath, close_visits, detect, run_camera
from streamer.pipeline.camera_trouble import FaceSizes
from streamer.pipeline.live_gallery import LiveGallery
from streamer.pipeline.outage_log import OutageLog
from streamer.pipeline.tracking import KeptFace, Tracker, TrackingRules
from streamer.pipeline.visits import Verdict, Visits
from streamer.pipeline.watching import SeenFace, Watcher
from streamer.settings import EventsSettings, Names
from streamer.shedding.shedder import Crew, Place, Share, Shedder
from streamer.shedding.turns import Need
from streamer.shedding.window import Goals
from streamer.telemetry.metrics import Metrics
from tests.recognition.fakes import until
from tests.streamer.scripted import Face, embedding_by, found, live_gallery_of, unit

ADA = "p" + "a" * 12


def frame_of(number: int, moved: Moved | None = None) -> Frame:
    image, at_s = SimpleNamespace(width=1280, height=720), number / 10
    return Frame(number, cast(Any, image), 1000.0 + at_s, at_s, 0.001, moved=moved)


class ScriptedSource:
    """Frames in order, then an error."""

    def __init__(self, frames: int, end: Exception, moved: Callable[[int], Moved | None] = lambda number: None) -> None:
        self.frames = frames
        self._end = end
        self._moved = moved
        self.taken = 0

    async def peek(self) -> Frame | None:
        return None if self.taken == self.frames else frame_of(self.taken, self._moved(self.taken))

    async def take(self) -> Frame:
        if self.taken == self.frames:
            raise self._end
        self.taken += 1
        return frame_of(self.taken - 1, self._moved(self.taken - 1))


@dataclass
class ScriptedRecogniser:
    """glance() answers frame n after `delay(n)` turns of the loop; looks come from the script."""

    script: Callable[[int], list[Face]]
    delay: Callable[[int], int] = lambda number: 0
    full: frozenset[int] = frozenset()
    dies_at: int | None = None
    turn: Callable[[int], float] = lambda number: 0.0
    looked_at: int = 0
    look_refusals: list[CodedError | None] = field(default_factory=list)
    detector: Any = field(default_factory=lambda: SimpleNamespace(name="d"))
    refusals: list[CodedError | None] = field(default_factory=list)  # of glance, call by call
    embed_refusals: list[CodedError | None] = field(default_factory=list)
    embedder: Any = field(default_factory=lambda: SimpleNamespace(name="switched_to_meanwhile"))
    detected: list[int] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _number: int = 0

    async def glance(self, image: object, lane: str, least_score: float) -> Found:
        if self.refusals and (refusal := self.refusals.pop(0)):
            raise refusal
        number, self._number = self._number, self._number + 1
        if number in self.full:
            raise Overloaded("full")
        if number == self.dies_at:
            raise RunnerDead("dead")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(self.delay(number)):
            await asyncio.sleep(0)
        self.at_once -= 1
        self.detected.append(number)
        return found(*self.script(number))

    async def look(self, image: object, found: Detections, lane: str) -> Looked:
        self.looked_at += len(found)
        if self.look_refusals and (refusal := self.look_refusals.pop(0)):
            raise refusal
        turn = np.array([self.turn(self._number - 1) for _ in found.scores], np.float32)
        return Looked(turn, found.landmarks)

    async def embed(self, image: object, landmarks: np.ndarray, lane: str) -> Embedded:
        if self.embed_refusals and (refusal := self.embed_refusals.pop(0)):
            raise refusal
        embeddings = np.stack([unit(1) for _ in landmarks])
        return Embedded(embeddings, 0.0, 0.0, 0.0, "e", "e.1")


class ScriptedGallery:
    generation = 0
    serving = "e"

    async def identify(self, tracks: list[list[KeptFace]], names: Names = "gallery") -> list[Verdict]:
        models = Models(detector="d", embedder="e", signature="s")
        return [Verdict(Match("known", ADA, 0.8, 0.4, ADA), 0.4, 0.99, models, list(kept)) for kept in tracks]


class ListOutbox(list[Due]):
    def put(self, due: Due) -> None:
        self.append(due)


class WatchedTracker(Tracker):
    """Remembers the order of the frames that reached it."""

    def __init__(self) -> None:
        super().__init__("cam", TrackingRules())
        self.times: list[float] = []

    def update(self, found: Found, frame_size: tuple[int, int], at: float, at_s: float) -> Any:
        self.times.append(at_s)
        return super().update(found, frame_size, at, at_s)


@pytest.fixture
def walk() -> Callable[..., Any]:
    async def run(
        recogniser: ScriptedRecogniser,
        frames: int = 30,
        end: Exception | None = None,
        waits: bool = False,
        live_gallery: object | None = None,
        in_flight: int = 3,
        watcher: Watcher | None = None,
        keeps: CameraVisits | None = None,
        share: Share | None = None,
        moved: Callable[[int], Moved | None] = lambda number: None,
    ) -> Any:
        end = end or StreamLost("over")
        metrics, outbox, tracker = Metrics(), ListOutbox(), WatchedTracker()
        path = CameraPath(
            camera="cam",
            recogniser=cast(Recogniser, recogniser),
            tracker=tracker,
            visits=Visits("cam", EventsSettings(), 0.15),
            live_gallery=cast(LiveGallery, live_gallery or ScriptedGallery()),
            outbox=cast(Outbox, outbox),
            metrics=metrics,
            frames_in_flight=in_flight,
            least_score=0.25,
            face_sizes=FaceSizes(28.0),
            waits=waits,
            watcher=watcher,
            keeps=keeps,
            share=share,
        )
        source = ScriptedSource(frames, end, moved)
        with pytest.raises(type(end)):
            await run_camera(source.take, path, source.peek)
        return SimpleNamespace(path=path, outbox=outbox, tracker=tracker, metrics=metrics)

    return run


def frames_counted(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("whosthere_frames_total", {"camera": "cam", "outcome": outcome}) or 0.0


async def test_results_are_committed_in_the_order_of_the_frames(walk):
    recogniser = ScriptedRecogniser(lambda n: [Face(x=100 + n)], delay=lambda n: 20 if n % 3 == 0 else 0)
    done = await walk(recogniser)
    assert recogniser.detected != sorted(recogniser.detected)  # they did finish out of order
    assert done.tracker.times == sorted(done.tracker.times)
    assert len(done.tracker.times) == 30


async def test_how_soon_frames_were_looked_at_is_kept(walk):
    """Those that could not be looked at are counted as dropped; where none is due, only how many there were."""
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)] if n % 2 else [], full=frozenset(range(0, 30, 3))))
    told = done.path.promptness.last_minute()
    assert (told.looked_at, told.dropped) == (20, 10)
    assert frames_counted(done.metrics, "processed") == 20
    assert told.p95_ms >= told.p50_ms > 0
    fast = (await walk(ScriptedRecogniser(lambda n: []), waits=True)).path.promptness.last_minute()
    assert (fast.looked_at, fast.dropped, fast.p50_ms, fast.p95_ms) == (30, 0, None, None)


async def test_quiet_frames_are_not_among_those_that_were_looked_at(walk):
    still = Moved(np.zeros((90, 160), np.bool_))
    done = await walk(ScriptedRecogniser(lambda n: []), frames=200, moved=lambda number: still)
    told = done.path.promptness.last_minute()
    assert 0 < told.looked_at == frames_counted(done.metrics, "processed") < 100
    assert told.dropped == 0


async def test_no_more_frames_are_under_way_than_allowed(walk):
    recogniser = ScriptedRecogniser(lambda n: [], delay=lambda n: 5)
    await walk(recogniser)
    assert recogniser.most_at_once == 3


async def test_a_frame_waits_in_its_source_for_a_place_and_gives_it_back(walk):
    recogniser = ScriptedRecogniser(lambda n: [Face(x=100)] if n % 2 else [], delay=lambda n: 5)
    metrics = Metrics()
    shedder = Shedder(Goals(60.0), lambda: Crew(1, 2), metrics, clock=lambda: 0.0)
    other = shedder.share("other", lambda: Need.NOBODY)
    held = await other.place()
    done = asyncio.create_task(walk(recogniser, share=shedder.share("cam", lambda: Need.KNOWN)))
    await until(lambda: len(recogniser.detected) >= 10)
    assert recogniser.most_at_once == 1, "the other place is taken"
    held.leave()
    over = await done
    assert recogniser.most_at_once == 2
    assert frames_counted(over.metrics, "processed") == 30
    assert shedder.in_flight == 0, "none is kept by the end of the stream"


async def test_a_camera_that_is_stopped_keeps_no_place():
    shedder = Shedder(Goals(60.0), lambda: Crew(1, 1), Metrics())

    async def peek() -> Frame:
        return frame_of(0)

    async def take() -> Frame:
        await asyncio.Event().wait()
        raise AssertionError

    share = shedder.share("cam", lambda: Need.NOBODY)
    path = cast(
        Any,
        SimpleNamespace(
            camera="cam",
            frames_in_flight=1,
            share=share,
            tracker=Tracker("cam", TrackingRules()),
            looking=Looking(),
            attention=Attention(),
            metrics=Metrics(),
            live_gallery=ScriptedGallery(),
        ),
    )
    running = asyncio.create_task(run_camera(take, path, peek))
    await until(lambda: shedder.in_flight == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert shedder.in_flight == 0


async def test_quiet_frames_wait_for_no_place_though_somebody_is_followed(walk):
    """Of who stands still most frames are passed over: none of them takes a turn from cameras that look."""
    still = Moved(np.zeros((90, 160), np.bool_))
    metrics = Metrics()
    shedder = Shedder(Goals(60.0), lambda: Crew(1, 1), metrics, clock=lambda: 0.0)
    share = shedder.share("cam", lambda: Need.KNOWN)
    asked = 0
    place_of = share.place

    async def place() -> Place:
        nonlocal asked
        asked += 1
        return await place_of()

    share.place = place
    recogniser = ScriptedRecogniser(lambda n: [Face(x=100)])
    done = await walk(recogniser, frames=200, moved=lambda number: still, share=share)
    quiet = frames_counted(done.metrics, "quiet")
    assert quiet > 100
    assert asked == 200 - quiet, "whoever is looked at has one place, and nobody else"
    assert shedder.in_flight == 0


async def test_a_fault_while_a_frame_is_taken_gives_its_place_back(walk):
    shedder = Shedder(Goals(60.0), lambda: Crew(1, 1), Metrics())
    watcher = cast(Any, SimpleNamespace(taken=_breaks))
    with pytest.raises(BaseExceptionGroup):
        await walk(ScriptedRecogniser(lambda n: []), watcher=watcher, share=shedder.share("cam", lambda: Need.NOBODY))
    assert shedder.in_flight == 0


async def test_a_walk_that_ends_in_a_fault_gives_all_places_back(walk):
    shedder = Shedder(Goals(60.0), lambda: Crew(2, 2), Metrics())
    share = shedder.share("cam", lambda: Need.NOBODY)
    with pytest.raises(BaseExceptionGroup):
        await walk(ScriptedRecogniser(lambda n: [], delay=lambda n: 5, dies_at=7), share=share)
    await until(lambda: shedder.in_flight == 0)


def _breaks(frame: Frame) -> None:
    raise ZeroDivisionError


async def test_a_frame_that_could_not_be_looked_at_gives_its_place_back(walk):
    shedder = Shedder(Goals(60.0), lambda: Crew(1, 1), Metrics())
    share = shedder.share("cam", lambda: Need.NOBODY)
    done = await walk(ScriptedRecogniser(lambda n: [], full=frozenset(range(0, 30, 2))), share=share)
    assert frames_counted(done.metrics, "skipped") == 15
    assert shedder.in_flight == 0


async def test_a_person_who_walks_by_is_told_once(walk):
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100 + 5 * n)] if n < 20 else []), frames=60)
    assert [(d.event.type, d.event.seq) for d in done.outbox] == [("new", 1), ("end", 2)]
    assert done.outbox[1].event.end_reason == "left"
    assert done.metrics.registry.get_sample_value("whosthere_events_total", {"type": "new", "known": "true"}) == 1
    assert done.metrics.registry.get_sample_value("whosthere_events_total", {"type": "end", "known": "true"}) == 1
    assert done.metrics.registry.get_sample_value("whosthere_embeddings_total", {"model": "e"}) == 2


async def test_a_full_queue_skips_the_frame_and_holds_nobody_up(walk):
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)], full=frozenset({1, 2, 7})))
    assert frames_counted(done.metrics, "skipped") == 3
    assert frames_counted(done.metrics, "processed") == 27
    assert len(done.tracker.times) == 27


async def test_at_pace_fastest_a_full_queue_is_waited_for(walk):
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)], full=frozenset({1, 2, 7})), waits=True)
    assert frames_counted(done.metrics, "processed") == 30
    assert frames_counted(done.metrics, "skipped") == 0


async def test_a_person_named_late_counts_as_named_then(walk):
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)]))
    assert done.metrics.registry.get_sample_value("whosthere_time_to_name_seconds_count") == 1
    events = [due.event for due in done.outbox if due.event.type == "new"]
    assert done.metrics.registry.get_sample_value("whosthere_match_margin_count") == len(events) == 1
    assert events[0].similarity - events[0].threshold == pytest.approx(0.4)
    assert done.metrics.registry.get_sample_value("whosthere_match_margin_bucket", {"le": "0.3"}) == 0


async def test_the_frames_under_way_arrive_before_the_end_is_told(walk):
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)], delay=lambda n: 50), frames=3)
    assert frames_counted(done.metrics, "processed") == 3


async def test_closing_ends_the_open_visits(walk):
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)]))
    close_visits(done.path, "camera_lost")
    assert [(d.event.type, d.event.end_reason) for d in done.outbox] == [("new", None), ("end", "camera_lost")]
    close_visits(done.path, "camera_lost")
    assert len(done.outbox) == 2


def moves_in(*spans: tuple[int, int]) -> Callable[[int], Moved]:
    """In these frames, from the first up to the second of each, all over the picture."""

    def moved(number: int) -> Moved:
        return Moved(np.full((9, 16), any(first <= number < last for first, last in spans)))

    return moved


async def test_quiet_frames_reach_no_detector_and_are_counted(walk):
    recogniser = ScriptedRecogniser(lambda n: [])
    done = await walk(recogniser, frames=600, moved=moves_in((300, 320)))
    looked, quiet = frames_counted(done.metrics, "processed"), frames_counted(done.metrics, "quiet")
    assert looked + quiet == 600
    assert len(recogniser.detected) == looked < 100
    labels = {"camera": "cam", "gate": "detector"}
    open_s, closed_s = (
        done.metrics.registry.get_sample_value("whosthere_gate_seconds_total", labels | {"state": state})
        for state in ("open", "closed")
    )
    assert open_s + closed_s == pytest.approx(59.9)
    assert open_s == pytest.approx((looked - 1) / 10)


async def test_who_stands_still_among_quiet_frames_is_told_once_and_ends_in_time(walk):
    """Somebody walks in, stands for a minute, walks out: the frames' times, and not their number, tell where."""
    shown: list[int] = []
    moved = moves_in((100, 120), (700, 721))

    class ByTime(ScriptedRecogniser):
        async def glance(self, image: object, lane: str, least_score: float) -> Found:
            return found(*([Face(x=400)] if 100 <= shown[-1] < 720 else []))

    def looked(number: int) -> Moved:
        shown.append(number)
        return moved(number)

    watcher = Looker()
    done = await walk(ByTime(lambda n: []), frames=800, moved=looked, watcher=watcher, in_flight=1)
    events = [due.event for due in done.outbox]
    assert [event.type for event in events] == ["new", "end"]
    assert events[-1].captured_at == pytest.approx(1000.0 + 71.9)
    assert frames_counted(done.metrics, "quiet") > 600
    assert all(len(watcher.seen[number]) == 1 for number in range(102, 719))  # whoever looks sees the face all along
    assert not done.path.attention.is_followed(72.0), "nor is anybody waited for any longer"


async def test_a_dead_runner_goes_up():
    recogniser = ScriptedRecogniser(lambda n: [], dies_at=2)
    path = cast(
        CameraPath,
        SimpleNamespace(
            camera="cam",
            recogniser=recogniser,
            frames_in_flight=3,
            least_score=0.2,
            waits=False,
            tracker=WatchedTracker(),
            visits=None,
            live_gallery=ScriptedGallery(),
            metrics=Metrics(),
            outages=OutageLog(),
            watcher=None,
            looking=Looking(),
            attention=Attention(),
            share=None,
        ),
    )
    with pytest.raises(ExceptionGroup) as caught:
        await run_camera(ScriptedSource(10, StreamLost("over")).take, path)
    assert caught.group_contains(RunnerDead)


@dataclass
class FailingEmbedder(ScriptedRecogniser):
    """Its first `unusable` embeddings are zeros, as Recogniser gives where the network gave NaN."""

    unusable: int = 0

    async def embed(self, image: object, landmarks: np.ndarray, lane: str) -> Embedded:
        embedded = await super().embed(image, landmarks, lane)
        for row in embedded.embeddings:
            row[:] = 0.0 if self.unusable > 0 else row
            self.unusable -= 1
        return embedded


async def test_faces_without_a_usable_embedding_name_nobody_and_are_counted(walk):
    done = await walk(FailingEmbedder(lambda n: [Face(x=100)], unusable=10**6))
    labels = {"model": "e", "reason": "embedding_unusable"}
    assert done.metrics.registry.get_sample_value("whosthere_faces_rejected_total", labels) >= 10
    assert done.metrics.registry.get_sample_value("whosthere_embeddings_total", {"model": "e"}) == 0
    assert done.outbox == []
    (track,) = done.tracker.tracks
    assert (track.kept, track.pending) == ([], 0)


async def test_a_face_is_tried_again_until_its_embedding_is_usable(walk):
    done = await walk(FailingEmbedder(lambda n: [Face(x=100)], unusable=3))
    labels = {"model": "e", "reason": "embedding_unusable"}
    assert done.metrics.registry.get_sample_value("whosthere_faces_rejected_total", labels) == 3
    assert [d.event.type for d in done.outbox] == ["new"]
    assert done.metrics.registry.get_sample_value("whosthere_embeddings_total", {"model": "e"}) == 2


async def test_frames_that_cannot_be_looked_at_now_are_counted_and_told_of_once(walk, caplog):
    away = [TritonUnavailable("the server is away")] * 3
    recogniser = ScriptedRecogniser(lambda n: [Face(x=100)], refusals=[None] * 4 + away)
    with caplog.at_level(logging.INFO, logger="streamer.pipeline.outage_log"):
        done = await walk(recogniser, frames=80)
    assert frames_counted(done.metrics, "failed") == 3
    assert frames_counted(done.metrics, "processed") == 77
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "camera cam: its frames can't be looked at: the server is away"),
        ("INFO", "camera cam: its frames are looked at again"),
    ]


async def test_faces_that_cannot_be_embedded_now_have_their_turn_with_a_later_frame(walk):
    full = [InsufficientGpuMemory("no room for a batch of 8")] * 5
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)], embed_refusals=full))
    assert done.metrics.registry.get_sample_value("whosthere_embeddings_skipped_total", {"camera": "cam"}) == 5
    assert frames_counted(done.metrics, "processed") == 30
    assert [d.event.type for d in done.outbox] == ["new"]
    (track,) = done.tracker.tracks
    assert track.pending == 0


async def test_at_pace_fastest_what_cannot_run_is_tried_again_ever_more_slowly(walk, monkeypatch):
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def at_once(delay_s: float) -> None:
        pauses.append(delay_s)
        await sleep(0)

    monkeypatch.setattr("streamer.pipeline.camera_path.asyncio.sleep", at_once)
    away: list[CodedError | None] = [TritonUnavailable("away")] * 9
    growing = [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0]
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)], refusals=[*away]), frames=1, waits=True)
    assert frames_counted(done.metrics, "processed") == 1
    assert pauses == pytest.approx(growing)
    done = await walk(ScriptedRecogniser(lambda n: [Face(x=100)], embed_refusals=[*away]), frames=2, waits=True)
    assert frames_counted(done.metrics, "processed") == 2
    assert done.metrics.registry.get_sample_value("whosthere_embeddings_skipped_total", {"camera": "cam"}) is None
    assert pauses == pytest.approx([*growing, *growing])
    (track,) = done.tracker.tracks
    assert len(track.kept) == 1


async def test_what_another_attempt_cannot_mend_goes_up_even_at_pace_fastest():
    recogniser = ScriptedRecogniser(lambda n: [], refusals=[RunnerDead("dead")])
    frame = await ScriptedSource(1, StreamLost("over")).take()
    path = SimpleNamespace(camera="cam", recogniser=recogniser, least_score=0.2, waits=True, outages=OutageLog())
    with pytest.raises(RunnerDead):
        await detect(frame, cast(CameraPath, path))


@dataclass
class SwitchingRecogniser(ScriptedRecogniser):
    """Model a answers until frame `switch_at` is detected, then b; b is not sure of it at first."""

    live_gallery: LiveGallery | None = None
    switch_at: int = 10
    by_b: int = 0

    async def glance(self, image: object, lane: str, least_score: float) -> Found:
        assert self.live_gallery is not None
        if self._number == self.switch_at:
            self.live_gallery.use_embedder("b")
        return await super().glance(image, lane, least_score)

    async def embed(self, image: object, landmarks: np.ndarray, lane: str) -> Embedded:
        assert self.live_gallery is not None
        model = self.live_gallery.serving
        self.by_b += model == "b"
        sure = 1.0 if model == "a" or self.by_b > 2 else 0.6
        embeddings = np.stack([embedding_by(model, 1, sure) for _ in landmarks])
        return Embedded(embeddings, 0.0, 0.0, 0.0, model, f"{model}.1")


async def test_a_switch_in_the_middle_of_a_visit_loses_no_face_and_mixes_nothing(walk, tmp_path):
    def ever_better(number: int) -> list[Face]:
        return [Face(x=100, quality=min(0.3 * 1.3 ** max(0, number // 10 - 1), 0.9))] if number < 80 else []

    async with live_gallery_of(tmp_path, {1: "ab", 2: "ab"}) as (live_gallery, ids):
        recogniser = SwitchingRecogniser(ever_better, live_gallery=live_gallery)
        done = await walk(recogniser, frames=120, live_gallery=live_gallery, in_flight=1)
    new, *updates, end = [due.event for due in done.outbox]
    assert (new.type, new.model.embedder, new.similarity, new.threshold) == ("new", "a", 1.0, 0.4)
    assert [update.type for update in updates] == ["update", "update"]  # each time b has become surer than b was
    assert {(e.model.embedder, e.model.signature, e.threshold) for e in [*updates, end]} == {("b", "d+b", 0.5)}
    assert all(0.7 < update.similarity < 0.9 for update in updates)  # a's would have made it more
    assert end.similarity == updates[-1].similarity
    assert {event.person.id for event in (new, *updates, end)} == {ids[1]}  # never another, never unknown
    assert frames_counted(done.metrics, "processed") == 120
    embeddings = {m: done.metrics.registry.get_sample_value("whosthere_embeddings_total", {"model": m}) for m in "ab"}
    assert embeddings == {"a": 2, "b": recogniser.by_b}


@pytest.mark.parametrize(
    ("turn", "reason"), [(180.0, "face_not_upright"), (90.0, "face_not_upright"), (np.nan, "face_doubtful")]
)
async def test_a_face_that_does_not_stand_upright_is_named_never(walk, turn: float, reason: str) -> None:
    recogniser = ScriptedRecogniser(lambda number: [Face(x=100, quality=0.9)], turn=lambda number: turn)
    done = await walk(recogniser, frames=50)
    assert list(done.outbox) == []
    sample = done.metrics.registry.get_sample_value
    rejected = sample("whosthere_faces_rejected_total", {"model": "d", "reason": reason})
    assert rejected == recogniser.looked_at
    assert 3 <= rejected <= 25  # five seconds: not in every frame


async def test_a_face_that_stands_is_looked_at_once(walk) -> None:
    recogniser = ScriptedRecogniser(lambda number: [Face(x=100, quality=0.9)])
    done = await walk(recogniser, frames=50, in_flight=1)
    assert [due.event.type for due in done.outbox] == ["new"]
    assert recogniser.looked_at == 1


async def test_a_face_that_stands_up_is_named_then(walk) -> None:
    recogniser = ScriptedRecogniser(lambda n: [Face(x=100, quality=0.9)], turn=lambda n: 180.0 if n < 20 else 0.0)
    done = await walk(recogniser, frames=50, in_flight=1)
    (new,) = [due.event for due in done.outbox]
    assert new.captured_at >= 1002.0


async def test_a_look_that_cannot_be_had_now_is_tried_again(walk) -> None:
    refusals: list[CodedError | None] = [Overloaded("full"), TritonUnavailable("away"), None]
    recogniser = ScriptedRecogniser(lambda number: [Face(x=100, quality=0.9)], look_refusals=refusals)
    done = await walk(recogniser, frames=50, in_flight=1)
    assert [due.event.type for due in done.outbox] == ["new"]
    skipped = done.metrics.registry.get_sample_value("whosthere_embeddings_skipped_total", {"camera": "cam"})
    assert skipped == 2


async def test_who_fills_the_picture_is_found_by_the_second_pass(walk) -> None:
    """The first sees nobody: the second sees somebody a second later, and from then on in every frame."""
    recogniser = FilledPicture(lambda number: [])
    done = await walk(recogniser, frames=40, in_flight=1)
    assert [due.event.type for due in done.outbox] == ["new"]
    assert recogniser.closer == [0, 10, *range(11, 40)]


@dataclass
class FilledPicture(ScriptedRecogniser):
    """Somebody comes at frame 10, so near that one pass sees nobody."""

    closer: list[int] = field(default_factory=list)

    async def glance(self, image: object, lane: str, least_score: float) -> Found:
        return replace(await super().glance(image, lane, least_score), close_up="some")

    async def close_up(self, image: object, first: Found, lane: str, least_score: float) -> Found:
        number = self._number - 1
        self.closer.append(number)
        return found(Face(x=100, quality=0.9)) if number >= 10 else found()


class Looker:
    """A Watcher that keeps what it is told."""

    def __init__(self, looks: bool = True) -> None:
        self.looks = looks
        self.taken_numbers: list[int] = []
        self.seen: dict[int, list[SeenFace]] = {}

    def taken(self, frame: Frame) -> None:
        self.taken_numbers.append(frame.number)

    def looked(self, frame: Frame, faces: list[SeenFace]) -> None:
        self.seen[frame.number] = faces


async def test_a_watcher_is_told_of_each_picture_and_of_faces_as_events_named_them(walk):
    watcher = Looker()
    recogniser = ScriptedRecogniser(lambda n: [Face(x=100)], full=frozenset({4}), delay=lambda n: n % 3)
    done = await walk(recogniser, watcher=watcher)
    assert watcher.taken_numbers == list(range(30))
    assert list(watcher.seen) == [number for number in range(30) if number != 4]  # it was not looked at
    (first,), (last,) = watcher.seen[0], watcher.seen[29]
    assert (first.is_told, first.person_id, first.similarity) == (False, None, None)
    assert (last.is_told, last.person_id, last.similarity) == (True, ADA, done.outbox[0].event.similarity)
    assert last.box == done.outbox[0].event.box
    assert last.score == pytest.approx(0.9, abs=0.1)
    assert 0 < last.quality <= 1


async def test_somebody_unknown_is_told_of_without_a_name(walk):
    class Strangers(ScriptedGallery):
        async def identify(self, tracks: list[list[KeptFace]], names: Names = "gallery") -> list[Verdict]:
            models = Models(detector="d", embedder="e", signature="s")
            return [Verdict(Match("unknown", None, 0.1, None, ADA), 0.4, None, models, list(kept)) for kept in tracks]

    watcher = Looker()
    await walk(ScriptedRecogniser(lambda n: [Face(x=100)]), frames=60, watcher=watcher, live_gallery=Strangers())
    (face,) = watcher.seen[59]
    assert (face.is_told, face.person_id, face.similarity) == (True, None, 0.1)


async def test_no_faces_are_made_ready_where_nobody_looks(walk):
    watcher = Looker(looks=False)
    await walk(ScriptedRecogniser(lambda n: [Face(x=100)]), watcher=watcher)
    assert watcher.seen == {}


class ScriptedVisits:
    """As much of CameraVisits as the path calls, with what it was told in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.qualities: list[float] = []

    def seen(self, track_id, image, landmarks, quality, embedding, model, space) -> None:
        assert landmarks.shape == (5, 2)
        assert (image.width, model, space, embedding.shape) == (1280, "e", "e.1", (512,))
        self.heard.append(("seen", track_id))
        self.qualities.append(round(quality, 2))

    def told(self, due: Due) -> Due:
        self.heard.append((due.event.type, due.event.track_ids[0]))
        return replace(due, event=due.event.model_copy(update={"snapshot": due.event.event_id}))

    def gone(self, track_id: str) -> None:
        self.heard.append(("gone", track_id))


def told_to(script: Callable[[int], list[Face]], walk: Callable[..., Any], frames: int = 60) -> Any:
    kept = ScriptedVisits()
    return kept, walk(ScriptedRecogniser(script), frames=frames, keeps=cast(CameraVisits, kept))


async def test_whoever_keeps_visits_is_shown_faces_after_what_was_told_of_them(walk):
    kept, walking = told_to(lambda n: [Face(x=100 + 5 * n)] if n < 20 else [], walk)
    done = await walking
    assert kept.heard == [
        *[("seen", "cam-1")],
        ("new", "cam-1"),
        ("seen", "cam-1"),
        ("end", "cam-1"),
        ("gone", "cam-1"),
    ]
    assert [item.event.snapshot == item.event.event_id for item in done.outbox] == [True, True]


async def test_poor_faces_are_not_kept_and_tracks_without_a_visit_are_over_all_the_same(walk):
    kept, walking = told_to(
        lambda n: [Face(x=100, quality=0.1), Face(x=600, look=2, quality=0.5)] if n < 3 else [], walk, 40
    )
    done = await walking
    assert set(kept.qualities) <= {0.5}
    over = {track for what, track in kept.heard if what == "gone"}
    assert over == {"cam-1", "cam-2"}
    assert {track for what, track in kept.heard if what == "new"} == {d.event.track_ids[0] for d in done.outbox}


async def test_a_camera_that_is_lost_ends_what_is_kept(walk):
    kept, walking = told_to(lambda n: [Face(x=100)], walk, 10)
    done = await walking
    close_visits(done.path, "camera_lost")
    assert kept.heard[-2:] == [("end", "cam-1"), ("gone", "cam-1")]
    assert done.outbox[-1].event.snapshot == done.outbox[0].event.event_id
