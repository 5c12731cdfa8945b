"""One connection to the MQTT broker, for those who publish and those who listen; its faults as our errors.

Settings go in, a client comes out for as long as the context lasts: of MQTT 5 where the broker has it, which tells why
it refuses a message, else of 3.1.1. Runs on the loop.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiomqtt import MqttError, ProtocolVersion, Will
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from streamer.errors import BrokerError, BrokerIdTaken, BrokerLoginRefused, BrokerLost, BrokerUnreachable
from streamer.mqtt.client import REACH_WITHIN_S, BrokerClient, ClosedUnanswered, where
from streamer.mqtt.tls.context import speaks_tls
from streamer.mqtt.tls.errors import BrokerTlsError, BrokerWantsTls
from streamer.settings import MqttSettings

ANSWER_WITHIN_S = 10.0
VERSION_WITHIN_S = 3.0
CLOSE_WITHIN_S = 0.5

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
# CONNACK: bad user name or password, not authorised (MQTT 3.1.1 section 3.2.2.3, and paho's names for them).
_LOGIN_REFUSED = frozenset({4, 5, 134, 135})
_VERSION_REFUSED = frozenset({1, 132})
_VERSIONS = {"auto": None, "5": ProtocolVersion.V5, "3.1.1": ProtocolVersion.V311}
_TAKEN_OVER = 142  # DISCONNECT, MQTT 5 section 3.14.2.1


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
        # Python's words for a name with a label that is empty or too long are of codecs.
        why = "no host can have such a name" if "'idna' codec" in str(error) else _ERRNO.sub("", str(error))
        return BrokerUnreachable(f"{self.where} can't be reached ({why}); start it, or check mqtt.host and mqtt.port")

    def _refused(self, error: MqttConnectError) -> BrokerError:
        if _code(error) in _LOGIN_REFUSED:
            return BrokerLoginRefused(
                f"{self.where} refuses the login; check mqtt.username and mqtt.password, and mqtt.client_id where it "
                "wants a certain one"
            )
        return BrokerUnreachable(f"{self.where} refuses the connection ({error}); see its log")


def _has_answered(error: MqttError) -> bool:
    """Whether there is somebody who takes connections, and then hangs up or says nothing."""
    return isinstance(error, ClosedUnanswered) or isinstance(error.__context__, TimeoutError)


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
