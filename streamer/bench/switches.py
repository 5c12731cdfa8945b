"""A switch of the embedder under load: eight cameras embed faces, each always with a frame on its way, meanwhile.

On the benchmark's event loop, through a Recogniser as a service has it, with real weights and a bundled portrait.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

import numpy as np

from recognition.checks.portraits import read_portraits
from recognition.errors import CodedError
from recognition.recogniser import Recogniser, RecogniserConfig, open_recogniser
from recognition.selection.candidates import Placement
from streamer.bench.full_load import LANES

DETECTOR, EMBEDDER = "nano_det", "nano_embed"  # these are here wherever whosthere is
MOST_FACES = 4  # a frame of camera n has 1 + n % 4


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's faces, all embedded by one model: when they were asked for and answered, by time.perf_counter().

    run_s: from the start of the first batch with one of them to the end of the last.
    """

    asked_s: float
    answered_s: float
    faces: int
    model: str
    run_s: float


@dataclass(frozen=True, slots=True)
class Switch:
    """When embedding.switch() was called and when it returned."""

    old: str
    new: str
    room_first: bool
    called_s: float
    returned_s: float


@dataclass(frozen=True, slots=True)
class SwitchUnderLoad:
    """seconds: load, tests and warm-up of the new model. faces: those answered that were on their way or came then.

    delayed: of these, how many waited longer than the median of the model that answered and one batch more.
    longest_gap_ms: between two answers, of whichever cameras; steady_gap_ms: the longest while nothing was switched.
    batch_ms: of the slower of the two models, at this load. lost: faces without an answer.
    """

    old: str
    new: str
    room_first: bool
    seconds: float
    faces: int
    delayed: int
    longest_gap_ms: float
    steady_gap_ms: float
    batch_ms: float
    lost: int


@dataclass(slots=True)
class _Seen:
    """What the cameras saw. `lost` has the time at which a frame failed, and how many faces it had."""

    frames: list[Frame] = field(default_factory=list)
    lost: list[tuple[float, int]] = field(default_factory=list)
    stopped: bool = False


async def run_switches(
    config: RecogniserConfig, other: str, steady_s: float, say: Callable[[str], None]
) -> list[SwitchUnderLoad]:
    """From nano_embed to another embedder and back, as ever and with room_first; `steady_s` before and after each.

    `config`: where weights are and what runs them; its own models don't matter. Raises what loading raises.
    """
    switches: list[Switch] = []
    async with open_recogniser(config) as recogniser, _cameras(recogniser) as seen:
        device, bucket = recogniser.embedder.device, recogniser.embedder.max_batch
        await asyncio.sleep(steady_s)
        for room_first in (False, True):
            for new in (other, EMBEDDER):
                old, called_s = recogniser.embedder.name, time.perf_counter()
                say(f"a switch under load: {old} to {new}{', room first' if room_first else ''}")
                await recogniser.embedding.switch(Placement(new, device, bucket), room_first=room_first)
                switches.append(Switch(old, new, room_first, called_s, time.perf_counter()))
                await asyncio.sleep(steady_s)
    return told(switches, seen.frames, seen.lost)


@asynccontextmanager
async def _cameras(recogniser: Recogniser) -> AsyncIterator[_Seen]:
    """Cameras that ask while the context lasts; all their frames are answered when it ends."""
    portrait = read_portraits()[0]
    image, seen = portrait.image(), _Seen()

    async def camera(number: int) -> None:
        landmarks = np.repeat(portrait.landmarks[None], 1 + number % MOST_FACES, axis=0)
        while not seen.stopped:
            asked_s = time.perf_counter()
            try:
                embedded = await recogniser.embed(image, landmarks, f"camera{number}")
            except CodedError:
                seen.lost.append((time.perf_counter(), len(landmarks)))
                await asyncio.sleep(0)
                continue
            count = len(embedded.embeddings)
            seen.frames.append(Frame(asked_s, time.perf_counter(), count, embedded.model, embedded.run_s))

    async with asyncio.TaskGroup() as tasks:
        for number in range(LANES):
            tasks.create_task(camera(number), name=f"bench camera{number}")
        try:
            yield seen
        finally:
            seen.stopped = True


def told(
    switches: Sequence[Switch], frames: Sequence[Frame], lost: Sequence[tuple[float, int]] = ()
) -> list[SwitchUnderLoad]:
    """What each switch did to the frames, in the order of their answers. Pure.

    There have to be frames of each model outside of all switches. What was lost counts for the last switch by then.
    """
    steady = [frame for frame in frames if not any(_during(s, frame.asked_s, frame.answered_s) for s in switches)]
    of_model = {model: [frame for frame in steady if frame.model == model] for model in {f.model for f in steady}}
    usual_s = {model: median(f.answered_s - f.asked_s for f in known) for model, known in of_model.items()}
    batch_s = {model: median(f.run_s for f in known) for model, known in of_model.items()}
    gaps = [(a.answered_s, b.answered_s) for a, b in pairwise(frames)]
    calm = [gap for gap in gaps if not any(_during(s, *gap) for s in switches)]
    until_s = [*(switch.called_s for switch in switches[1:]), math.inf]
    rows = []
    for switch, from_s, to_s in zip(switches, [-math.inf, *until_s], until_s, strict=False):
        one_batch_s = max(batch_s[switch.old], batch_s[switch.new])
        met = [frame for frame in frames if _during(switch, frame.asked_s, frame.answered_s)]
        late = [f for f in met if f.answered_s - f.asked_s > usual_s[f.model] + one_batch_s]
        rows.append(
            SwitchUnderLoad(
                old=switch.old,
                new=switch.new,
                room_first=switch.room_first,
                seconds=switch.returned_s - switch.called_s,
                faces=sum(frame.faces for frame in met),
                delayed=sum(frame.faces for frame in late),
                longest_gap_ms=_longest_ms([gap for gap in gaps if _during(switch, *gap)]),
                steady_gap_ms=_longest_ms(calm),
                batch_ms=1e3 * one_batch_s,
                lost=sum(count for at_s, count in lost if from_s < at_s <= to_s),
            )
        )
    return rows


def _during(switch: Switch, from_s: float, to_s: float) -> bool:
    """Whether any of this time was the switch's."""
    return from_s <= switch.returned_s and to_s >= switch.called_s


def _longest_ms(gaps: Sequence[tuple[float, float]]) -> float:
    return 1e3 * max((to_s - from_s for from_s, to_s in gaps), default=0.0)
