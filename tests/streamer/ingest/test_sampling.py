"""The sampler's rate and choice, on tables of times."""

import numpy as np
import pytest

from streamer.ingest.sampling import Sampler


def taken(sampler: Sampler, times) -> list[float]:
    return [float(at) for at in times if sampler.wants(float(at))]


@pytest.mark.parametrize(
    ("source_fps", "fps", "want_per_s"),
    [
        (25, 10, 10),
        (30, 10, 10),
        (25, 24, 24),
        (30, 12.5, 12.5),
        (60, 7, 7),
        (25, 25, 25),
        (10, 25, 10),
        (25, 0.5, 0.5),
    ],
)
def test_rate_has_no_drift(source_fps, fps, want_per_s):
    seconds = 600
    kept = taken(Sampler(fps), np.arange(source_fps * seconds) / source_fps)
    assert abs(len(kept) - want_per_s * seconds) <= 1


@pytest.mark.parametrize(("source_fps", "fps"), [(25, 10), (30, 10), (50, 15)])
def test_the_frame_nearest_to_each_tick_is_taken(source_fps, fps):
    kept = taken(Sampler(fps), np.arange(source_fps * 10) / source_fps)
    ticks = np.arange(len(kept)) / fps
    assert np.abs(np.array(kept) - ticks).max() <= 0.5 / source_fps + 1e-6


def test_jitter_of_arrival_loses_no_frame_of_a_source_at_the_target_rate():
    times = np.arange(1000) / 10 + np.random.default_rng(1).uniform(-0.02, 0.02, 1000)
    assert len(taken(Sampler(10), times)) == 1000


def test_jitter_of_arrival_keeps_the_rate():
    times = np.sort(np.arange(25 * 600) / 25 + np.random.default_rng(2).uniform(-0.015, 0.015, 25 * 600))
    assert abs(len(taken(Sampler(10), times)) - 6000) <= 5


def test_after_a_gap_nothing_is_caught_up_on():
    times = [*np.arange(0, 2, 0.04), *np.arange(60, 62, 0.04)]
    kept = taken(Sampler(10), times)
    assert len([at for at in kept if at >= 60]) == 20


def test_a_clip_no_faster_than_the_target_is_taken_whole_however_uneven():
    times = [0.0, 0.001, 0.002, 0.5, 0.501, 0.9, 0.95]
    assert taken(Sampler(10, source_fps=7), times) == times
    assert taken(Sampler(29.97, source_fps=29.97), times) == times
    assert len(taken(Sampler(10, source_fps=25), times)) < len(times)
