"""One publisher's session: what it announced, the transports of its tracks, and its packets on their way to the camera.

On the loop. Only the video is of use; the other tracks are set up and drained, since publishers want all of them.
"""

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from streamer.errors import CameraError, StreamStalled
from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.publish.publication import Publication, PublishedStream
from streamer.ingest.rtp import description
from streamer.ingest.rtp.receiver import TrackReceiver
from streamer.ingest.rtsp.addressing import Asked, track_of, transport_of
from streamer.ingest.rtsp.messages import Refused, packet
from streamer.ingest.rtsp.udp_pair import UdpPair
from streamer.telemetry.metrics import Metrics

REPORT_S = 5.0
COUNT_S = 1.0  # the metrics' locks at every tick would cost more than the packets


@dataclass(frozen=True, slots=True)
class Wire:
    """The connection that a session belongs to. send: to the publisher; hang_up: the session ends with it."""

    peer_host: str
    local_host: str
    send: Callable[[bytes], None]
    hang_up: Callable[[], None]


class Session:
    def __init__(
        self, point: PublishPoint, sdp: bytes, wire: Wire, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises StreamInvalid, StreamHasNoVideo, StreamUnsupported."""
        self.point = point
        self.id = secrets.token_hex(8)
        self._controls = [media.control for media in description.tracks(sdp)]
        self._video = description.video_track(sdp)
        self._wire = wire
        self._metrics = metrics
        self._clock = clock
        self._channels: dict[int, tuple[int, bool]] = {}  # -> (track, whether it is its RTCP)
        self._pairs: dict[int, UdpPair] = {}
        self._receiver: TrackReceiver | None = None
        self._publication: Publication | None = None
        self._heard_s = 0.0
        self._reported_s = 0.0
        self._counted_s = 0.0
        self._bytes = 0
        self._counted: dict[str, int] = {}

    @property
    def is_recording(self) -> bool:
        return self._publication is not None

    @property
    def kind(self) -> str:
        """`rtsp tcp, h264`: for the log."""
        return f"{self._transport}, {self._video.codec}"

    def set_up(self, url: str, transport: str) -> str:
        """One track's transport; again in place of an earlier one. The answer's header. Raises Refused."""
        track = track_of(url, self._controls)
        asked = transport_of(transport)
        self._release(track)
        if asked.is_udp:
            return self._set_up_udp(track, asked)
        free = (first for first in range(0, 256, 2) if not self._channels.keys() & {first, first + 1})
        channels = asked.channels
        if channels is None or self._channels.keys() & set(channels):
            first = next(free, None)
            if first is None:
                raise Refused(461, "no channels are left")
            channels = (first, first + 1)
        self._channels[channels[0]], self._channels[channels[1]] = (track, False), (track, True)
        return f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]};mode=record"

    def _set_up_udp(self, track: int, asked: Asked) -> str:
        assert asked.ports is not None
        try:
            pair = UdpPair(self._wire.local_host, self._wire.peer_host, asked.ports)
        except OSError:
            raise Refused(461, "no UDP ports are free, use TCP") from None
        self._pairs[track] = pair
        theirs, ours = (f"{first}-{second}" for first, second in (asked.ports, pair.ports))
        return f"RTP/AVP/UDP;unicast;client_port={theirs};server_port={ours};mode=record"

    def record(self) -> None:
        """From now on its pictures are the camera's. Raises Refused, PublisherPresent."""
        index = self._video.index
        if self.is_recording or (index not in self._pairs and (index, False) not in self._channels.values()):
            raise Refused(455, None if self.is_recording else "the video track was not set up")
        stream = PublishedStream(self._video.codec, self._transport, self._video.extradata)
        publication = Publication(stream, self._wire.hang_up)
        self.point.admit(publication)
        self._publication = publication
        self._receiver = TrackReceiver(self._video, publication.put, reorders=index in self._pairs)
        self._heard_s = self._reported_s = publication.last_s = self._clock()
        for track, pair in self._pairs.items():
            pair.start(partial(self._take, track))

    def packet(self, channel: int, data: bytes) -> None:
        """One that came between requests; of a channel that nobody set up: nothing."""
        found = self._channels.get(channel)
        if found is not None:
            self._take(found[0], data, found[1])

    def _take(self, track: int, data: bytes, is_rtcp: bool) -> None:
        if self._receiver is None or self._publication is None:
            return
        at = Instant(time.time(), self._clock())
        self._heard_s = at.monotonic_s
        self._bytes += len(data)
        if track != self._video.index:
            return
        if is_rtcp:
            self._receiver.rtcp(data, at)
        else:
            self._publication.last_s = at.monotonic_s
            self._receiver.rtp(data, at)

    def tick(self, now_s: float) -> None:
        """Called every so often: packets that never come, reports that are due. Raises StreamStalled: end it."""
        if self._receiver is None:
            return
        self._receiver.tick(now_s)
        if now_s - self._counted_s >= COUNT_S:
            self._counted_s = now_s
            self._count()
        limit_s = self.point.camera.read_timeout_s
        if now_s - self._heard_s >= limit_s:
            raise StreamStalled(
                f"camera {self.point.name}: its publisher sent nothing for {limit_s:g} s; check it and the network"
            )
        if now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            self._report(now_s)

    def _report(self, now_s: float) -> None:
        assert self._receiver is not None
        report = self._receiver.receiver_report(now_s)
        if report is None:
            return
        if (pair := self._pairs.get(self._video.index)) is not None:
            pair.send_rtcp(report)
            return
        channel = next(channel for channel, use in self._channels.items() if use == (self._video.index, True))
        self._wire.send(packet(channel, report))

    def end(self, why: CameraError) -> None:
        """It is over, and the camera is told why. The first call counts."""
        if self.is_recording:
            for track, pair in self._pairs.items():
                pair.drain(partial(self._take, track))
        for track in range(len(self._controls)):
            self._release(track)
        if self._receiver is None or self._publication is None:
            return
        self._receiver.close()
        self._count()
        self._publication.end(why)
        self._receiver = self._publication = None

    @property
    def _transport(self) -> str:
        return "rtsp udp" if self._video.index in self._pairs else "rtsp tcp"

    def _release(self, track: int) -> None:
        """What an earlier SETUP of this track was given."""
        with contextlib.suppress(KeyError):
            self._pairs.pop(track).close()
        self._channels = {channel: use for channel, use in self._channels.items() if use[0] != track}

    def _count(self) -> None:
        self._metrics.ingest_bytes.labels(camera=self.point.name).inc(self._bytes)
        self._bytes = 0
        if self._receiver is None:
            return
        for outcome, count in asdict(self._receiver.counts).items():
            more = count - self._counted.get(outcome, 0)
            if more > 0:  # a stranger that turns out to be the publisher anew is refused no more
                self._metrics.ingest_packets.labels(camera=self.point.name, outcome=outcome).inc(more)
                self._counted[outcome] = count
