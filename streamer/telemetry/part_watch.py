"""The parts of /readyz as metrics, so that an alert knows of each fault that /readyz knows. On the event loop."""

from collections.abc import Iterable

from streamer.readiness import Part
from streamer.telemetry.metrics import Metrics


class PartWatch:
    """One that is there while it is in trouble alone, like `configuration`, leaves no series when it is gone."""

    def __init__(self, metrics: Metrics) -> None:
        self._ready = metrics.part_ready
        self._expiry = metrics.certificate_expiry
        self._shown: set[str] = set()

    def tell(self, parts: Iterable[Part], certificate_until_s: float | None) -> None:
        """How they stand now; until when HTTP's certificate is valid (Unix time), where it has one."""
        before, self._shown = self._shown, set()
        for part in parts:
            self._ready.labels(part=part.name).set(part.ok)
            self._shown.add(part.name)
        for gone in before - self._shown:
            self._ready.remove(gone)
        if certificate_until_s is not None:
            self._expiry.labels(use="http").set(certificate_until_s)
