"""Packets of one track, in order -> whole access units with start codes. Pure but for the picture that is begun.

A picture ends with the packet that has the marker; where none has it, or each slice, with the next timestamp. One with
a hole is given out all the same, and says so; what is to be done about it is decided where it is decoded.
"""

from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.publication import EncodedPicture
from streamer.ingest.rtp.depacketiser import Depacketiser
from streamer.ingest.rtp.description import START_CODE, TrackDescription
from streamer.ingest.rtp.nal_unit import UnitKind, set_types, unit_kind
from streamer.ingest.rtp.packet import RtpPacket, step
from streamer.ingest.rtp.reorder import Ordered

MOST_PICTURE_BYTES = 8 * 2**20
PTS_RATE = 90_000
_LONGEST_PAUSE_S = 10.0


class Timeline:
    """RTP timestamps -> pts in 1/90000 s, which neither wrap nor begin anew; they go back where there are B-frames."""

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._raw: int | None = None
        self._ticks: int | None = None
        self._at_s = 0.0

    def pts(self, timestamp: int, at: Instant) -> int:
        """Of the next picture, in decoding order."""
        if self._ticks is None:
            self._ticks = timestamp
        elif self._raw is not None:
            self._ticks += step(timestamp, self._raw, 32)
        else:
            passed_s = min(max(at.monotonic_s - self._at_s, 0.001), _LONGEST_PAUSE_S)
            self._ticks += round(passed_s * self._rate)
        self._raw, self._at_s = timestamp, at.monotonic_s
        return self._ticks * PTS_RATE // self._rate

    def restart(self) -> None:
        """The next timestamp is of another series: what passed meanwhile goes by the moments of arrival."""
        self._raw = None


class PictureBuilder:
    """Of one track."""

    def __init__(self, track: TrackDescription) -> None:
        self._codec = track.codec
        self._depacketiser = Depacketiser(track.codec)
        self._timeline = Timeline(track.clock_rate)
        self._kept: dict[int, list[bytes]] = {}  # parameter sets by their type
        for unit in track.extradata.split(START_CODE)[1:]:
            self._kept.setdefault(unit_kind(self._codec, unit).set_type, []).append(unit)
        self._kept.pop(0, None)
        self._has_sets_in_band = False
        self._follows_gap = False  # of the next picture
        self._is_gap_ahead = False  # of the next packet
        self._marked: int | None = None  # the timestamp of the last picture that a marker ended
        self._trusts_markers = True
        self._timestamp: int | None = None  # of the one that is begun
        self._at = Instant(0.0, 0.0)  # its last packet
        self._units: list[bytes] = []
        self._bytes = 0
        self._sets: dict[int, list[bytes]] = {}
        self._has_slice = self._is_keyframe = self._is_damaged = self._is_after_gap = False

    @property
    def refused(self) -> int:
        """Payloads of a kind that is not taken."""
        return self._depacketiser.refused

    def push(self, ordered: Ordered) -> list[EncodedPicture]:
        """The next packet -> the pictures that are whole with it."""
        packet, at, is_after_gap = ordered
        done = []
        if not packet.payload and packet.timestamp != self._timestamp:  # padding, or another payload type's
            self._is_gap_ahead |= is_after_gap
            return []
        is_after_gap |= self._is_gap_ahead
        self._is_gap_ahead = False
        if is_after_gap and self._depacketiser.drop():
            self._is_damaged = True
        if packet.timestamp != self._timestamp:
            if self._timestamp is not None:
                self._is_damaged |= self._depacketiser.drop()
                # What is missing may be its end as well as the next one's start.
                self._is_damaged |= is_after_gap
                done += self._end()
            self._begin(packet.timestamp)
            self._is_after_gap = self._follows_gap or is_after_gap
            self._follows_gap = False
        elif is_after_gap and self._has_slice:
            self._is_damaged = True
        else:
            self._is_after_gap |= is_after_gap
        self._at = max(at, self._at, key=lambda moment: moment.monotonic_s)
        self._add(packet)
        if packet.marker and self._has_slice and self._trusts_markers:
            self._is_damaged |= self._depacketiser.drop()
            done += self._end()
            self._begin(None)
            self._marked = packet.timestamp
        return done

    def restart(self) -> list[EncodedPicture]:
        """The next packet is of another series: other sequence numbers, timestamps, perhaps pictures."""
        done = self.flush()
        self._timeline.restart()
        self._follows_gap = True
        return done

    def flush(self) -> list[EncodedPicture]:
        """Nothing more comes: the last one, whose end nothing told."""
        self._depacketiser.drop()
        self._is_damaged = True
        done = self._end() if self._timestamp is not None else []
        self._begin(None)
        return done

    def _begin(self, timestamp: int | None) -> None:
        self._timestamp, self._at = timestamp, Instant(0.0, 0.0)
        self._units, self._bytes, self._sets = [], 0, {}
        self._has_slice = self._is_keyframe = self._is_damaged = self._is_after_gap = False

    def _add(self, packet: RtpPacket) -> None:
        units, is_damaged = self._depacketiser.push(packet.payload)
        self._is_damaged |= is_damaged
        for unit in units:
            self._bytes += len(unit)
            if self._bytes > MOST_PICTURE_BYTES:
                self._units.clear()
                self._is_damaged = True
                continue
            kind = unit_kind(self._codec, unit)
            if kind.set_type:
                self._sets.setdefault(kind.set_type, []).append(unit)
            self._is_keyframe |= kind.begins
            if kind.is_slice:
                self._note_slice(kind)
            self._units.append(unit)

    def _note_slice(self, kind: UnitKind) -> None:
        if not self._has_slice and not kind.is_first:
            self._is_damaged = True
            if self._timestamp == self._marked and not self._is_after_gap:  # its picture had not ended
                self._trusts_markers = False
        self._has_slice = True

    def _end(self) -> list[EncodedPicture]:
        """The picture that was begun, where there is one: parameter sets alone are none."""
        if self._sets:
            self._kept |= self._sets
            self._has_sets_in_band = True
        if not self._has_slice or not self._units:
            self._follows_gap |= self._is_after_gap or self._is_damaged
            return []
        assert self._timestamp is not None
        if self._is_keyframe:
            missing = [kind for kind in set_types(self._codec) if kind not in self._sets]
            # Those of before need not be those of a keyframe that had its own: they may be what is missing.
            self._is_damaged |= bool(missing) and self._has_sets_in_band and self._is_after_gap
            self._units[:0] = [unit for kind in missing for unit in self._kept.get(kind, ())]
        return [
            EncodedPicture(
                START_CODE + START_CODE.join(self._units),
                self._timeline.pts(self._timestamp, self._at),
                self._is_keyframe,
                self._at,
                is_after_gap=self._is_after_gap,
                is_damaged=self._is_damaged,
            )
        ]
