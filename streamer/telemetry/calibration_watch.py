"""What the running service says of its gallery's calibrations: in the log, once for each change, and as metrics."""

import logging
from collections.abc import Mapping

from gallery.matching.space_policy import STATES, Standing
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

_FINE = ("used", "none")


class CalibrationWatch:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._once = OnceLog(log)

    def tell(self, standings: Mapping[str, Standing]) -> None:
        """How the calibrations stand now, by space."""
        for space, found in standings.items():
            for state in STATES:
                self._metrics.gallery_calibration.labels(space=space, state=state).set(state == found.state)
            expected = float("nan") if found.expected_fpir is None else found.expected_fpir
            self._metrics.gallery_expected_fpir.labels(space=space).set(expected)
            level = logging.INFO if found.state in (*_FINE, "overridden") else logging.WARNING
            code = None if found.state in _FINE else f"calibration_{found.state}"
            self._once.say(space, (found.state, found.threshold), level, "%s", found.told, code=code)
