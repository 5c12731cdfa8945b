"""For how long every frame is asked for: while somebody is followed or watches, and no longer."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from streamer.ingest.frame import Frame
from streamer.looking.detector_gate import DetectorGate
from streamer.looking.looking import Looking, LookingRules
from streamer.motion.attention import Attention
from streamer.motion.moved import Moved
from streamer.pipeline.tracking import Tracker, TrackingRules
from streamer.telemetry.metrics import Metrics
from tests.streamer.scripted import SIZE, Face, found


def frame(at_s: float) -> Frame:
    still = Moved(np.zeros((90, 160), np.bool_))
    return cast(Any, SimpleNamespace(moved=still, width=SIZE[0], height=SIZE[1], captured_s=at_s))


@pytest.mark.parametrize("gone_after_s", [0.5, 2.0, 600.0])
def test_whoever_is_followed_no_more_holds_no_attention(gone_after_s):
    attention = Attention()
    gate = DetectorGate("cam", Looking(LookingRules(gone_after_s=gone_after_s)), attention, Metrics())
    tracker = Tracker("cam", TrackingRules())
    tracker.update(found(Face(x=400)), SIZE, 100.0, 100.0)
    gate.lets_in(frame(100.1), tracker.tracks, 0, is_watched=False)
    assert attention.is_followed(100.1 + gone_after_s - 0.01)
    gate.lets_in(frame(100.2), [], 0, is_watched=False)
    assert not attention.is_followed(100.2)
    assert not attention.is_held(100.2 + 2.0)


def test_whoever_watches_holds_it_though_nobody_is_followed():
    attention = Attention()
    gate = DetectorGate("cam", Looking(), attention, Metrics())
    gate.lets_in(frame(100.0), [], 0, is_watched=True)
    gate.lets_in(frame(110.0), [], 0, is_watched=True)
    assert attention.is_held(110.9)
    assert not attention.is_followed(110.9)
