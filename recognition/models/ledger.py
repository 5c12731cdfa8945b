"""The ledger: who was promised and who holds how much memory of which device. Asked before a load, told after it.

Any thread may call; a call holds one lock for as long as the memory reader takes (microseconds). What can be had is
what the reader says less what is promised and not taken yet: what is taken, the reader sees by itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from recognition.errors import InsufficientGpuMemory, InsufficientMemory, UnsupportedRuntime
from recognition.models.device_memory import MIB, MemoryReader


@dataclass(frozen=True, slots=True)
class Holding:
    """One owner's share of a device. `held_mib`: measured and taken; `promised_mib`: reserved, not settled yet."""

    owner: str
    device: str
    held_mib: float
    promised_mib: float
    users: int


class Ledger:
    """One for the process: it adds up what all loads were promised."""

    def __init__(self, reader: MemoryReader) -> None:
        self._book = _Book(reader)

    @contextmanager
    def reserve(self, owner: str, device: str, need_mib: float | None) -> Iterator["Reservation"]:
        """Promise memory for a load. settle() inside, once it is loaded and warm; else it is given back at the end.

        `need_mib` None: nobody measured it yet, so nothing can be promised, and the load may run out of memory.
        Raises InsufficientGpuMemory, InsufficientMemory (RAM), UnsupportedRuntime where there is no such device.
        """
        book = self._book
        with book.lock:
            book.need_room(owner, device, need_mib or 0.0)
            reservation = Reservation(book, owner, device, need_mib or 0.0)
            book.open[reservation] = None
        try:
            yield reservation
        except BaseException:
            with book.lock:
                book.open.pop(reservation, None)
            raise
        with book.lock:
            if not reservation.settled:
                book.open.pop(reservation, None)

    def room_mib(self) -> dict[str, float]:
        """By device what a load could be promised now: what choose() wants as free_vram_mib."""
        with self._book.lock:
            return self._book.room_mib()

    def holdings(self) -> list[Holding]:
        """Who holds what, the least recently used first."""
        with self._book.lock:
            return [reservation.holding() for reservation in self._book.open]

    def vram_free_bytes(self) -> float:
        """What the GPUs have free in all; 0 where there is none."""
        return sum(mib for device, mib in self.room_mib().items() if device.startswith("cuda")) * MIB

    def vram_reserved_bytes(self) -> dict[str, float]:
        """By model what it holds, or was promised, of the GPUs."""
        found: dict[str, float] = {}
        for holding in self.holdings():
            if holding.device.startswith("cuda"):
                mib = holding.held_mib + holding.promised_mib
                found[holding.owner] = found.get(holding.owner, 0.0) + mib * MIB
        return found

    def idle(self, device: str) -> list["Reservation"]:
        """The holdings there that nobody uses, the least recently used first."""
        with self._book.lock:
            return [reservation for reservation in self._book.open if reservation.device == device and reservation.idle]

    def to_evict(self, device: str, need_mib: float, owner: str = "a load") -> list["Reservation"]:
        """The least recently used holdings that would have to go, so that `need_mib` can be reserved; maybe none.

        Never one in use, or still loading. retire() each (somebody may use it by now) and close its model.
        Raises what reserve() raises where all of them are too little.
        """
        book = self._book
        with book.lock:
            room = book.room_of(device)
            chosen = []
            for reservation in book.open:
                if room >= need_mib:
                    break
                if reservation.device == device and reservation.idle:
                    chosen.append(reservation)
                    room += reservation.holding().held_mib
            if room < need_mib:
                raise book.refusal(owner, device, need_mib, room)
            return chosen


class Reservation:
    """A promise of memory, later a holding. Made by Ledger.reserve() alone."""

    def __init__(self, book: "_Book", owner: str, device: str, promised_mib: float) -> None:
        self.owner = owner
        self.device = device
        self._book = book
        self._held_mib = 0.0
        self._promised_mib = promised_mib
        self._settled = False
        self._users = 0

    @property
    def settled(self) -> bool:
        return self._settled

    @property
    def idle(self) -> bool:
        """Loaded, and nobody uses it or makes it larger."""
        return self._settled and not self._users and not self._promised_mib

    def settle(self, measured_mib: float) -> None:
        """The memory is taken, and so much was measured. May be said again when that changes."""
        if measured_mib < 0:
            raise ValueError(f"settle: want MiB from 0 on, got {measured_mib}")
        with self._book.lock:
            self._book.need_open(self)
            self._held_mib, self._promised_mib, self._settled = measured_mib, 0.0, True

    @contextmanager
    def grow(self, to_mib: float) -> Iterator[None]:
        """Promise what is missing to `to_mib`, for larger batches. settle() inside, else it is given back.

        Raises what Ledger.reserve() raises.
        """
        with self._book.lock:
            self._book.need_open(self)
            more_mib = max(0.0, to_mib - self._held_mib)
            self._book.need_room(self.owner, self.device, more_mib)
            self._promised_mib += more_mib
        try:
            yield
        finally:
            with self._book.lock:
                self._promised_mib = max(0.0, self._promised_mib - more_mib)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nobody evicts it while this lasts. Raises RuntimeError where it was retired before."""
        with self._book.lock:
            self._book.need_open(self)
            self._users += 1
        try:
            yield
        finally:
            with self._book.lock:
                self._users -= 1
                if self in self._book.open:  # a load that failed took it away meanwhile
                    self._book.open[self] = self._book.open.pop(self)  # the most recently used comes last

    def retire(self) -> bool:
        """Strike it off, so that its model may be closed. False, and nothing changes, where it is not idle."""
        with self._book.lock:
            if not self.idle or self not in self._book.open:
                return False
            del self._book.open[self]
            return True

    def holding(self) -> Holding:
        with self._book.lock:
            return Holding(self.owner, self.device, self._held_mib, self._promised_mib, self._users)


class _Book:
    """What Ledger and its reservations share; whoever reads or writes it holds the lock."""

    def __init__(self, reader: MemoryReader) -> None:
        self.lock = threading.RLock()
        self.open: dict[Reservation, None] = {}  # the least recently used first
        self._reader = reader

    def room_mib(self) -> dict[str, float]:
        room = {device: memory.free_mib for device, memory in self._reader.read().items()}
        for reservation in self.open:
            if reservation.device in room:
                room[reservation.device] -= reservation.holding().promised_mib
        return {device: max(0.0, mib) for device, mib in room.items()}

    def room_of(self, device: str) -> float:
        room = self.room_mib()
        if device not in room:
            there = ", ".join(sorted(room)) or "none"
            raise UnsupportedRuntime(f"device {device}: is not there; the devices are {there}")
        return room[device]

    def need_room(self, owner: str, device: str, need_mib: float) -> None:
        room = self.room_of(device)
        if need_mib > room:
            raise self.refusal(owner, device, need_mib, room)

    def need_open(self, reservation: Reservation) -> None:
        if reservation not in self.open:
            raise RuntimeError(f"{reservation.owner} on {reservation.device}: its reservation was given back before")

    def refusal(self, owner: str, device: str, need_mib: float, room_mib: float) -> InsufficientMemory:
        shares = [reservation.holding() for reservation in self.open if reservation.device == device]
        ours = ", ".join(
            f"{share.owner} {share.held_mib + share.promised_mib:.0f} MiB{'' if share.held_mib else ' (loading)'}"
            for share in shares
        )
        kind = InsufficientMemory if device == "cpu" else InsufficientGpuMemory
        return kind(
            f"{owner} needs {need_mib:.0f} MiB on {device}, {room_mib:.0f} MiB can be had (this service has there: "
            f"{ours or 'nothing'}); free some, or use smaller batches or a smaller model"
        )
