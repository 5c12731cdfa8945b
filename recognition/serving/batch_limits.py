"""BatchLimits: how batches are cut; how long an item waits for company, from what batches take now. Pure."""

from dataclasses import dataclass

_RUN_WEIGHT = 0.2  # of the last batch in the mean of their run times


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How batches are cut.

    `buckets`: the batch sizes that may be run, rising, 1 first. `pad`: fill up to the next bucket (GPUs,
    where a new size costs memory) instead of running the next smaller one (CPUs, where an empty place costs
    as much as a full one). `max_wait_ms`: how long the oldest item may wait for company; None: as wait_ms() says.
    `queue_limit`: items that may wait, `patient_limit`: those of patient lanes, which neither take places of the others
    nor are refused for them. `latency_goal_ms`: how long an item should take at most from the queue's
    entry to its answer, None: as long as it likes; asked for only where `max_wait_ms` is None.
    """

    buckets: tuple[int, ...] = (1,)
    pad: bool = False
    max_wait_ms: float | None = 0.0
    queue_limit: int = 64
    patient_limit: int = 2048
    latency_goal_ms: float | None = None

    @property
    def max_batch(self) -> int:
        return self.buckets[-1]


def wait_ms(limits: BatchLimits, run_ms: float | None) -> float:
    """How long the oldest item may wait for company where a batch takes `run_ms` now (None: none was run yet).

    `max_wait_ms` where that is a number. Where it is None, half of a run, but no more than the latency goal leaves
    beside two runs: the one that is under way when the item comes, and its own. Before the first run it is 0, and
    on CPUs (`pad` False) always: there a face costs as much in a batch as alone, so that company gains nothing.
    """
    if limits.max_wait_ms is not None:
        return limits.max_wait_ms
    if run_ms is None or not limits.pad:
        return 0.0
    if limits.latency_goal_ms is None:
        return run_ms / 2
    return max(0.0, min(run_ms / 2, limits.latency_goal_ms - 2 * run_ms))


def mean_run_ms(mean_ms: float | None, run_ms: float) -> float:
    """The exponential mean of run times after one more run; `mean_ms` None: this was the first.

    A run counts for twice the mean at most: else everybody would wait for long after one that hung.
    """
    if mean_ms is None:
        return run_ms
    return mean_ms + _RUN_WEIGHT * (min(run_ms, 2 * mean_ms) - mean_ms)
