"""What was measured on this machine, kept in a JSON file; and the selector's figures out of it and out of specs.

Blocks for a small file, read again only when it has changed, and for a lock while one is written. Any thread.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from recognition.errors import FiguresUnwritable
from recognition.models.device_memory import NvmlReader
from recognition.reason import Reason
from recognition.runtimes.processor import processor_name
from recognition.selection.candidates import BatchCap, Candidate, Cost, DeviceFigures, Measurement
from recognition.specs.spec import BatchNeeds, EmbedderSpec, ModelSpec
from recognition.whole_file import held_alone, replacing

log = logging.getLogger(__name__)

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """Measured for batches of one size: all memory that the model has by then, None where nothing tells; ms a run."""

    memory_mib: NotNegative | None
    run_ms: NotNegative


@dataclass(frozen=True, slots=True)
class MeasuredHere:
    """One model as it was measured on one device of this machine: when (Unix seconds) and by which command."""

    model: str
    weights_digest: str
    precision: str
    runtime: str
    engine: str
    device: str
    hardware: str
    measured_at: NotNegative
    command: str
    buckets: Mapping[Annotated[int, Field(ge=1)], BatchFigures]

    @property
    def place(self) -> tuple[str, ...]:
        """Where one measurement takes another's place; those of other weights are gone with it."""
        return self.model, self.precision, self.runtime, self.engine, self.device, self.hardware


@dataclass(frozen=True, slots=True)
class _File:
    format: Literal["whosthere.model-figures/1"]
    figures: tuple[MeasuredHere, ...]


_FILE: TypeAdapter[_File] = TypeAdapter(_File)


class LocalMeasurements:
    """The file of one data folder. What another process writes is seen at the next look."""

    def __init__(self, path: Path, hardware: Mapping[str, str] | None = None) -> None:
        """`hardware`: what the devices are called; None: as this machine calls them."""
        self._path = path
        self._hardware = hardware
        self._seen: tuple[Stamp | None, dict[tuple[str, ...], MeasuredHere]] = (None, {})

    def find(self, spec: ModelSpec, device: str) -> MeasuredHere | None:
        """What was measured of these very weights on this very device; None: nothing. Raises nothing."""
        hardware = self._hardware_of(device)
        found = self._rows().get((spec.name, spec.precision, spec.runtime, spec.engine, device, hardware))
        return found if found is not None and found.weights_digest == spec.weights_digest else None

    def keep(
        self, spec: ModelSpec, device: str, buckets: Mapping[int, BatchFigures], *, measured_at: float, command: str
    ) -> MeasuredHere:
        """Write what was measured of a spec's weights, in the place of what was known. Raises FiguresUnwritable.

        Of two processes that write, each keeps the other's models; of one model the last one's figures stay.
        """
        if spec.weights_digest is None:
            raise ValueError(f"model {spec.name}: nobody could tell later which weights these figures are of")
        row = MeasuredHere(
            model=spec.name,
            weights_digest=spec.weights_digest,
            precision=spec.precision,
            runtime=spec.runtime,
            engine=spec.engine,
            device=device,
            hardware=self._hardware_of(device),
            measured_at=measured_at,
            command=command,
            buckets=dict(buckets),
        )
        with self._locked():
            rows = self._rows_or_begin_anew() | {row.place: row}
            data = _FILE.dump_json(_File("whosthere.model-figures/1", tuple(rows.values())), indent=2)
            with replacing(self._path) as file:
                file.write(data + b"\n")
        return row

    def _hardware_of(self, device: str) -> str:
        return hardware_of(device) if self._hardware is None else self._hardware.get(device, "unknown")

    def _rows(self) -> dict[tuple[str, ...], MeasuredHere]:
        """What the file holds; nothing, with a warning once, where it is broken."""
        stamp = self._stamp()
        if stamp is None:
            return {}
        if stamp != self._seen[0]:
            try:
                self._seen = (stamp, self._read())
            except (OSError, ValidationError) as error:
                self._seen = (stamp, {})
                log.warning(
                    "%s is no file of figures (%s): models go by their specs; `whosthere models bench` measures anew",
                    self._path,
                    _first_line(error),
                )
        return self._seen[1]

    def _rows_or_begin_anew(self) -> dict[tuple[str, ...], MeasuredHere]:
        """The same; a broken file is set aside, since nothing in it can't be measured again."""
        try:
            return self._read()
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            aside = self._path.with_name(f"{self._path.name}.broken")
            os.replace(self._path, aside)
            log.warning("%s was no file of figures (%s): it is now %s", self._path, _first_line(error), aside.name)
            return {}

    def _read(self) -> dict[tuple[str, ...], MeasuredHere]:
        return {row.place: row for row in _FILE.validate_json(self._path.read_bytes()).figures}

    def _stamp(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """This process alone writes; the lock lies beside the file, which is another one after each write."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with held_alone(self._path):
                yield
        except OSError as error:
            raise FiguresUnwritable(
                f"{self._path} can't be written ({error.strerror}); make paths.data writable, or make room there"
            ) from None


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error)


@cache
def hardware_of(device: str) -> str:
    """What a device of this machine is called: the processor's or the card's name, `unknown` where nothing tells."""
    if device == "cpu":
        return processor_name()
    nvml = NvmlReader(os.environ.get("CUDA_VISIBLE_DEVICES"))
    try:
        return nvml.names().get(device, "unknown")
    finally:
        nvml.close()


def buckets_on(spec: ModelSpec, device: str) -> tuple[int, ...]:
    """The batch sizes worth running on this device."""
    return spec.batch_buckets.cpu if device == "cpu" else spec.batch_buckets.cuda


def device_figures(
    spec: ModelSpec,
    device: str,
    local: LocalMeasurements | None,
    *,
    runners: int = 1,
    held_mib: float = 0.0,
    idle: bool = False,
    bar: BatchCap | None = None,
    max_batch: int | None = None,
) -> DeviceFigures:
    """A model on a device (`cpu`, `cuda:N`) for choose(): what was measured here, else what its spec says.

    Where neither has a number there is none. `max_batch`: no larger buckets than this.
    """
    here = local.find(spec, device) if local is not None else None
    measured = here.buckets if here is not None else {}
    needs = _needs_on(spec, device)
    sizes = [size for size in buckets_on(spec, device) if max_batch is None or size <= max_batch]
    costs = {size: _cost(measured.get(size), needs.get(size)) for size in sizes}
    return DeviceFigures(costs, runners=runners, held_mib=held_mib, idle=idle, bar=bar)


def _needs_on(spec: ModelSpec, device: str) -> Mapping[int, BatchNeeds]:
    if spec.needs is None:
        return {}
    return {"cpu": spec.needs.cpu, "cuda": spec.needs.cuda}.get(device.partition(":")[0], {})


def _cost(here: BatchFigures | None, spec: BatchNeeds | None) -> Cost:
    memory_mib = Measurement(spec.memory_mib, measured=False) if spec is not None else None
    run_ms = Measurement(spec.run_ms, measured=False) if spec is not None else None
    if here is not None:
        run_ms = Measurement(here.run_ms, measured=True)
        memory_mib = Measurement(here.memory_mib, measured=True) if here.memory_mib is not None else memory_mib
    return Cost(memory_mib, run_ms)


def candidate(spec: ModelSpec, devices: Mapping[str, DeviceFigures], unavailable: Reason | None = None) -> Candidate:
    """A model for choose(), with the devices that it may run on, the preferred one first; accuracy is its spec's."""
    accuracy = spec.accuracy if isinstance(spec, EmbedderSpec) else None
    return Candidate(
        spec.name, devices, None if accuracy is None else Measurement(accuracy, measured=False), unavailable=unavailable
    )
