"""Models with made-up figures for tests of the selector: tables in, candidates out."""

from collections.abc import Mapping

from recognition.reason import Reason
from recognition.selection.candidates import BatchCap, Candidate, Cost, DeviceFigures, Measurement

# device -> bucket -> (MiB, ms); None: nobody measured it
Table = Mapping[str, Mapping[int, tuple[float | None, float | None]]]

R100: Table = {"cuda:0": {1: (900, 6), 8: (1000, 12), 32: (1200, 35)}, "cpu": {1: (500, 400), 8: (700, 3000)}}
MBF: Table = {"cuda:0": {1: (300, 2), 8: (320, 3), 32: (400, 8)}, "cpu": {1: (60, 17), 8: (90, 130)}}
NANO: Table = {"cpu": {1: (20, 3), 8: (30, 24)}}


def figure(value: float | None, measured: bool = True) -> Measurement | None:
    return None if value is None else Measurement(value, measured)


def candidate(
    model: str,
    table: Table,
    accuracy: float | None = None,
    *,
    runners: int = 1,
    held: Mapping[str, float] | None = None,
    idle: bool = False,
    bars: Mapping[str, BatchCap | None] | None = None,
    unavailable: Reason | None = None,
    measured: bool = True,
) -> Candidate:
    devices = {
        device: DeviceFigures(
            {bucket: Cost(figure(mib, measured), figure(ms, measured)) for bucket, (mib, ms) in costs.items()},
            runners=runners,
            held_mib=(held or {}).get(device, 0.0),
            idle=idle,
            bar=(bars or {}).get(device),
        )
        for device, costs in table.items()
    }
    return Candidate(model, devices, figure(accuracy, measured), unavailable)


def ladder() -> list[Candidate]:
    return [candidate("r100", R100, 0.998), candidate("mbf", MBF, 0.992), candidate("nano", NANO, 0.95)]
