"""One connection to the MQTT broker, for those who publish and those who listen; its faults as our errors.

Settings go in, a client comes out for as long as the context lasts: of MQTT 5 where the broker has it, which tells why
it refuses a message, else of 3.1.1. Runs on the loop.
"""

import asyncio
import logging
import re
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from aiomqtt import Client, MqttError, ProtocolVersion, Will
from aiomqtt.exceptions import MqttCodeError, MqttConnectError
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamer.errors import BrokerError, BrokerIdTaken, BrokerLoginRefused, BrokerLost, BrokerUnreachable
from streamer.mqtt.errors import BrokerTlsError, BrokerWantsTls
from streamer.mqtt.tls import Context, read_context, speaks_tls
from streamer.settings import MqttSettings

# Whatever the client library complains about is raised, too, and reported by us, once.
_library = logging.getLogger("mqtt.connection")
_library.setLevel(logging.CRITICAL)

QOS = 1
ANSWER_WITHIN_S = 10.0
VERSION_WITHIN_S = 3.0
REACH_WITHIN_S = 3.0  # a thread does it, and the end of the process waits for that
CLOSE_WITHIN_S = 0.5
IN_FLIGHT_LIMIT = 1_000
RECEIVED_LIMIT = 10_000

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
# CONNACK: bad user name or password, not authorised (MQTT 3.1.1 section 3.2.2.3, and paho's names for them).
_LOGIN_REFUSED = frozenset({4, 5, 134, 135})
_VERSION_REFUSED = frozenset({1, 132})
_VERSIONS = {"auto": None, "5": ProtocolVersion.V5, "3.1.1": ProtocolVersion.V311}
_TAKEN_OVER = 142  # DISCONNECT, MQTT 5 section 3.14.2.1
_PACKET_BESIDES = 16  # bytes of a PUBLISH besides topic and payload, at most


class _ClosedUnanswered(MqttError):
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
        super().__init__(
            mqtt.host,
            mqtt.port,
            username=mqtt.username,
            password=mqtt.password.get_secret_value() if mqtt.password else None,
            identifier=client_id,
            keepalive=mqtt.keepalive_s,
            timeout=answer_within_s,
            will=will,
            logger=_library,
            protocol=version,
            max_inflight_messages=IN_FLIGHT_LIMIT,
            max_queued_incoming_messages=RECEIVED_LIMIT,
        )
        self._client.connect_timeout = REACH_WITHIN_S
        self._mqtt = mqtt
        self._tls: Context | None = None
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

    async def send(self, topic: str, payload: bytes | str, *, retain: bool = False) -> str | None:
        """Publish at QoS 1; returns None once the broker has taken it, or why it refuses it. Raises MqttError.

        The first step writes: who starts several of these in an order has them sent in that order.
        """
        limit = self._limits.get("MaximumPacketSize")
        if limit is not None and len(payload) + len(topic) + _PACKET_BESIDES > limit:
            return "Packet too large"
        info = self._client.publish(topic, payload, QOS, retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise MqttCodeError(info.rc, "not connected")
        answer = self._answers[info.mid] = _Answer(self._loop.create_future(), self._loop.time() + self.timeout)
        self._watch_lateness(answer.until_s)
        try:
            reason = await answer.given
        finally:
            del self._answers[info.mid]
        return str(reason) if reason.is_failure else None

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
            self._connected.set_exception(fault or _ClosedUnanswered("it ends the connection without a word"))
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


class Broker:
    """The broker of the settings, and what version of MQTT it was found to speak, as long as it stays reachable."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.where = where(mqtt)
        self._mqtt = mqtt
        self._version = _VERSIONS[mqtt.version]
        self.certificate_until_s: float | None = None  # of the last connection

    @property
    def version(self) -> str:
        """Of MQTT, as the last connection spoke it."""
        return "3.1.1" if self._version is ProtocolVersion.V311 else "5"

    @asynccontextmanager
    async def connect(self, *, client_id: str, will: Will | None = None) -> AsyncIterator[BrokerClient]:
        """A connected client.

        Raises BrokerUnreachable, BrokerTlsError or BrokerLoginRefused on the way in, BrokerLost or BrokerIdTaken when
        the connection breaks inside (in a TaskGroup too). Errors name host and port, never the login.
        """
        client = await self._open(client_id, will)
        self.certificate_until_s = client.certificate_until_s
        try:
            yield client
        except MqttError:
            raise self._lost(client) from None
        except BaseExceptionGroup as group:
            if group.split(MqttError)[1] is not None:
                raise
            raise self._lost(client) from None
        finally:
            await self._leave(client)

    async def _open(self, client_id: str, will: Will | None) -> BrokerClient:
        try:
            if self._version is None:
                self._version = await self._find_version(client_id)
            return await self._enter(self._version, client_id, will, ANSWER_WITHIN_S)
        except MqttConnectError as error:
            if _code(error) in _VERSION_REFUSED:
                raise self._unreachable(error) from None
            raise self._refused(error) from None
        except BrokerTlsError:
            self._forget_version()
            raise
        except MqttError as error:
            if _has_answered(error) and await self._wants_tls():
                raise self._tls_wanted() from None
            raise self._unreachable(error) from None

    async def _wants_tls(self) -> bool:
        """Whether it speaks TLS where it did not answer us; so does one that hangs up on who speaks none."""
        if self._mqtt.tls is not None:
            return False
        return await asyncio.to_thread(speaks_tls, self._mqtt.host, self._mqtt.port, REACH_WITHIN_S)

    def _tls_wanted(self) -> BrokerWantsTls:
        self._forget_version()
        return BrokerWantsTls(
            f"{self.where} speaks TLS at that port; set mqtt.tls ({{}}, or with the CA that signed its certificate)"
        )

    async def _find_version(self, client_id: str) -> ProtocolVersion:
        """By connections that leave nothing behind: what knows no MQTT 5 refuses it, hangs up, or waits for more.

        With the id that is meant: a broker may let in no other.
        """
        try:
            await self._leave(await self._enter(ProtocolVersion.V5, client_id, None, VERSION_WITHIN_S))
        except MqttConnectError as error:
            if _code(error) not in _VERSION_REFUSED:
                raise
        except MqttError as error:
            if not _has_answered(error):
                raise
        else:
            return ProtocolVersion.V5
        await self._leave(await self._enter(ProtocolVersion.V311, client_id, None, ANSWER_WITHIN_S))
        return ProtocolVersion.V311

    async def _enter(
        self, version: ProtocolVersion, client_id: str, will: Will | None, within_s: float
    ) -> BrokerClient:
        client = BrokerClient(self._mqtt, version, client_id, will, within_s)
        try:
            await client.__aenter__()
        except ValueError as error:  # `a..b` is no host name, nor is a label of over 63 letters
            raise MqttError(str(error)) from None
        except BaseException:
            client.abandon()
            raise
        client.timeout = ANSWER_WITHIN_S
        return client

    async def _leave(self, client: BrokerClient) -> None:
        client.timeout = CLOSE_WITHIN_S
        with suppress(MqttError):
            await client.__aexit__(None, None, None)
        client.forgive()

    def _forget_version(self) -> None:
        """It may come back as another one."""
        self._version = _VERSIONS[self._mqtt.version]

    def _lost(self, client: BrokerClient) -> BrokerError:
        reason = client.ended_by
        if reason is not None and reason.value == _TAKEN_OVER:
            return id_taken(self.where)
        told = f" ({reason})" if reason is not None else ""
        return BrokerLost(f"{self.where}: the connection is lost{told}")

    def _unreachable(self, error: MqttError) -> BrokerUnreachable:
        self._forget_version()
        why = _ERRNO.sub("", str(error))
        return BrokerUnreachable(f"{self.where} can't be reached ({why}); start it, or check mqtt.host and mqtt.port")

    def _refused(self, error: MqttConnectError) -> BrokerError:
        if _code(error) in _LOGIN_REFUSED:
            return BrokerLoginRefused(
                f"{self.where} refuses the login; check mqtt.username and mqtt.password, and mqtt.client_id where it "
                "wants a certain one"
            )
        return BrokerUnreachable(f"{self.where} refuses the connection ({error}); see its log")


def where(mqtt: MqttSettings) -> str:
    """What errors call the broker."""
    return f"broker {mqtt.host}:{mqtt.port}"


def _has_answered(error: MqttError) -> bool:
    """Whether there is somebody who takes connections, and then hangs up or says nothing."""
    return isinstance(error, _ClosedUnanswered) or isinstance(error.__context__, TimeoutError)


def passing_id(mqtt: MqttSettings) -> str:
    """A client id for who comes and goes beside the service; brokers that want one want it to begin like ours."""
    return f"{mqtt.client_id or 'whosthere'}-{secrets.token_hex(4)}"


def id_taken(where: str) -> BrokerIdTaken:
    """Another client has connected with our id; the broker ends the connection of the former."""
    return BrokerIdTaken(
        f"{where}: the connection is taken away again and again; another client seems to use the same client id: "
        "give one of the two another mqtt.client_id (a copied data folder has a copied id)"
    )


def _code(error: MqttConnectError) -> int:
    return int(error.rc.value if isinstance(error.rc, ReasonCode) else error.rc or 0)
