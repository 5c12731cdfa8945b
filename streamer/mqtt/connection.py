"""One connection to the MQTT broker, for those who publish and those who listen; its faults as our errors.

Settings go in, an aiomqtt client comes out for as long as the context lasts. Runs on the loop.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiomqtt import Client, MqttError, Will
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from streamer.errors import BrokerError, BrokerLoginRefused, BrokerLost, BrokerUnreachable
from streamer.settings import MqttSettings

# Whatever the client library complains about is raised, too, and reported by us, once.
_library = logging.getLogger("mqtt.connection")
_library.setLevel(logging.CRITICAL)

QOS = 1
ANSWER_WITHIN_S = 10.0
CLOSE_WITHIN_S = 2.0
IN_FLIGHT_LIMIT = 1_000
RECEIVED_LIMIT = 10_000

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
# CONNACK: bad user name or password, not authorised (MQTT 3.1.1 section 3.2.2.3, and paho's names for them).
_LOGIN_REFUSED = frozenset({4, 5, 134, 135})


@asynccontextmanager
async def connection(mqtt: MqttSettings, *, client_id: str | None, will: Will | None = None) -> AsyncIterator[Client]:
    """A connected client; each publish() of it returns with the broker's acknowledgement.

    Raises BrokerUnreachable or BrokerLoginRefused on the way in, BrokerLost when the connection breaks inside
    (in a TaskGroup too). Errors name host and port, never the login.
    """
    client = Client(
        mqtt.host,
        mqtt.port,
        username=mqtt.username,
        password=mqtt.password.get_secret_value() if mqtt.password else None,
        identifier=client_id,
        keepalive=mqtt.keepalive_s,
        timeout=ANSWER_WITHIN_S,
        will=will,
        logger=_library,
        max_inflight_messages=IN_FLIGHT_LIMIT,
        max_queued_incoming_messages=RECEIVED_LIMIT,
    )
    client.pending_calls_threshold = IN_FLIGHT_LIMIT
    where = f"broker {mqtt.host}:{mqtt.port}"
    try:
        await client.__aenter__()
    except MqttConnectError as error:
        raise _refused(where, error) from None
    except MqttError as error:
        why = _ERRNO.sub("", str(error))
        raise BrokerUnreachable(
            f"{where} can't be reached ({why}); start it, or check mqtt.host and mqtt.port"
        ) from None
    try:
        yield client
    except MqttError:
        raise BrokerLost(f"{where}: the connection is lost") from None
    except BaseExceptionGroup as group:
        if group.split(MqttError)[1] is not None:
            raise
        raise BrokerLost(f"{where}: the connection is lost") from None
    finally:
        client.timeout = CLOSE_WITHIN_S
        with suppress(MqttError):
            await client.__aexit__(None, None, None)


def _refused(where: str, error: MqttConnectError) -> BrokerError:
    code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
    if code in _LOGIN_REFUSED:
        return BrokerLoginRefused(f"{where} refuses the login; check mqtt.username and mqtt.password")
    return BrokerUnreachable(f"{where} refuses the connection ({error}); see its log")
