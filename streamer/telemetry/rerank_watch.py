"""What the running service says of its re-ranking: metrics of each call, and in the log what fails, once."""

import logging

from gallery.errors import RerankFailed
from gallery.matching.rerank import Reranked
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)


class RerankWatch:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._once = OnceLog(log)
        metrics.rerank_errors.labels(code=RerankFailed.code)

    def tell(self, found: Reranked | RerankFailed) -> None:
        """A call is over; any thread."""
        if isinstance(found, RerankFailed):
            self._metrics.rerank_errors.labels(code=found.code).inc()
            self._once.warn("rerank", found, "%s; the built-in kernel does what it fails at")
            return
        self._metrics.rerank_seconds.observe(found.latency_ms / 1000.0)
        self._metrics.rerank_candidates.observe(found.candidates)
