"""A client of the MQTT broker's, as long as one connection lasts; what it is told of its messages.

Settings go in; messages leave, each answer comes back to who waits for it. On the loop, but for the way in, a thread's.
"""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import paho.mqtt.client as paho
from aiomqtt import Client, MqttError, ProtocolVersion, Will
from aiomqtt.exceptions import MqttCodeError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamer.mqtt.tls.context import Connection, Context, read_context
from streamer.settings import MqttSettings

# Whatever the client library complains about is raised, too, and reported by us, once.
_library = logging.getLogger("mqtt.connection")
_library.setLevel(logging.CRITICAL)

QOS = 1
REACH_WITHIN_S = 3.0  # a thread does it, and the end of the process waits for that
IN_FLIGHT_LIMIT = 1_000
RECEIVED_LIMIT = 10_000

_PACKET_BESIDES = 24  # bytes of a PUBLISH besides topic and payload, at most


class ClosedUnanswered(MqttError):
    """The broker has ended the connection in place of a CONNACK."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """To a message, and until when it is waited for (the loop's time)."""

    given: asyncio.Future[ReasonCode]
    until_s: float


class BrokerClient(Client):
    """aiomqtt's client, which keeps from us why a broker refused a message, and waits for a CONNACK that can't come."""

    def __init__(
        self, mqtt: MqttSettings, version: ProtocolVersion, client_id: str, will: Will | None, answer_within_s: float
    ) -> None:
        delay_s = mqtt.will_delay_s if will is not None and version is ProtocolVersion.V5 else 0
        super().__init__(
            mqtt.host,
            mqtt.port,
            username=mqtt.username,
            password=mqtt.password.get_secret_value() if mqtt.password else None,
            identifier=client_id,
            keepalive=mqtt.keepalive_s,
            timeout=answer_within_s,
            will=_delayed(will, delay_s),
            # A will that waits is dropped when its session is taken up again, and sent when that is discarded.
            properties=_session(delay_s) if delay_s else None,
            clean_start=False if version is ProtocolVersion.V5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            logger=_library,
            protocol=version,
            max_inflight_messages=IN_FLIGHT_LIMIT,
            max_queued_incoming_messages=RECEIVED_LIMIT,
        )
        self._client.connect_timeout = REACH_WITHIN_S
        self._mqtt = mqtt
        self._tls: Context | None = None
        self._version = version
        self._expiries: dict[int, Properties] = {}
        self.ended_by: ReasonCode | None = None  # the broker's own word for it, which MQTT 5 has
        self._limits: dict[str, int] = {}
        self._answers: dict[int, _Answer] = {}
        self._lateness: asyncio.TimerHandle | None = None
        self._abandoned = False

    @property
    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self._disconnected.done()

    @property
    def certificate_until_s(self) -> float | None:
        """Until when the broker's certificate is valid (Unix seconds); None without TLS."""
        opened = self._client.socket()
        if not isinstance(opened, ssl.SSLSocket):
            return None
        return ssl.cert_time_to_seconds(str((opened.getpeercert() or {})["notAfter"]))

    @property
    def receive_maximum(self) -> int:
        """How many messages the broker lets be on their way at once."""
        return self._limits.get("ReceiveMaximum", 65_535)

    async def send(
        self, topic: str, payload: bytes | str, *, retain: bool = False, expire_s: int | None = None
    ) -> str | None:
        """Publish at QoS 1; returns None once the broker has taken it, or why it refuses it. Raises MqttError.

        expire_s: how long the broker keeps it for who is away; over 3.1.1 as long as it likes.

        The first step writes: who starts several of these in an order has them sent in that order.
        """
        limit = self._limits.get("MaximumPacketSize")
        if limit is not None and len(payload) + len(topic) + _PACKET_BESIDES > limit:
            return "Packet too large"
        info = self._client.publish(topic, payload, QOS, retain, self._expiry(expire_s))
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise MqttCodeError(info.rc, "not connected")
        answer = self._answers[info.mid] = _Answer(self._loop.create_future(), self._loop.time() + self.timeout)
        self._watch_lateness(answer.until_s)
        try:
            reason = await answer.given
        finally:
            del self._answers[info.mid]
        return str(reason) if reason.is_failure else None

    def _expiry(self, expire_s: int | None) -> Properties | None:
        if expire_s is None or self._version is not ProtocolVersion.V5:
            return None
        if expire_s not in self._expiries:
            self._expiries[expire_s] = properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = expire_s
        return self._expiries[expire_s]

    def _watch_lateness(self, until_s: float) -> None:
        """One timer for all that are waited for: one each is a fifth of what sending costs."""
        if self._lateness is None or self._lateness.when() > until_s:
            if self._lateness is not None:
                self._lateness.cancel()
            self._lateness = self._loop.call_at(until_s, self._end_late)

    def _end_late(self) -> None:
        self._lateness = None
        now_s = self._loop.time()
        for answer in self._answers.values():
            if answer.until_s > now_s:
                self._watch_lateness(answer.until_s)
            elif not answer.given.done():
                answer.given.set_exception(MqttError("Operation timed out"))

    def abandon(self) -> None:
        """End a connection that is not waited for, now or as soon as it is there: aiomqtt leaves its socket open."""
        self._abandoned = True
        self._connected.cancel()
        self._disconnected.cancel()
        self._hang_up()

    def _client_connect(self) -> None:
        """On a thread, which nobody can cancel. Raises BrokerTlsError."""
        if self._mqtt.tls is not None:  # read anew each time: a renewed certificate is taken
            self._tls = read_context(self._mqtt.tls, where(self._mqtt))
            self._client.tls_set_context(self._tls)
        super()._client_connect()
        if self._abandoned:
            self._hang_up()

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ANN401
        if isinstance(sock, Connection):
            self._loop.call_soon_threadsafe(self._write_when_there_is_room, sock)
        else:
            super()._on_socket_register_write(client, userdata, sock)

    def _write_when_there_is_room(self, sock: Connection) -> None:
        if sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write, sock)

    def _write(self, sock: Connection) -> None:
        """All that waits, in one go."""
        sock.gathers = True
        self._client.loop_write()
        sock.gathers = False
        if sock.fileno() < 0:  # it was the last
            return
        try:
            if not sock.flush():
                self._write_when_there_is_room(sock)
            elif not self._client.want_write():
                self._loop.remove_writer(sock.fileno())
        except OSError:
            self._hang_up()  # what reads notices

    def _hang_up(self) -> None:
        if isinstance(opened := self._client.socket(), socket.socket):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def forgive(self) -> None:
        """Nobody asks any more how the connection ended: asyncio would complain of that."""
        if self._lateness is not None:
            self._lateness.cancel()
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401 (paho's own signatures)
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self._limits = properties.json() if properties is not None else {}  # type: ignore[no-untyped-call]
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self.ended_by = reason_code
        if not self._connected.done():
            fault = self._tls.fault if self._tls is not None else None
            self._connected.set_exception(fault or ClosedUnanswered("it ends the connection without a word"))
        answers = [answer.given for answer in self._answers.values()]
        pending: list[asyncio.Future[Any]] = [*answers, *self._pending_subscribes.values()]
        for answer in pending:
            if not answer.done():
                answer.set_exception(MqttError("the connection is lost"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ANN401
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.given.done():
            answer.given.set_result(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)


def _delayed(will: Will | None, delay_s: int) -> Will | None:
    if will is None or not delay_s:
        return will
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.WillDelayInterval = delay_s
    return replace(will, properties=properties)


def _session(expire_s: int) -> Properties:
    """Kept for so long after the connection is lost."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = expire_s
    return properties


def where(mqtt: MqttSettings) -> str:
    """What errors call the broker."""
    return f"broker {mqtt.host}:{mqtt.port}"
