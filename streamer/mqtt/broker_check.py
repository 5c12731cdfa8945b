"""Whether the broker takes a message: for `whosthere check`, and for topics that it has refused.

A topic goes in, why it is refused comes out. Each by a connection of its own, on the loop.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from streamer.errors import BrokerLost, BrokerTopicRefused
from streamer.mqtt.client import QOS
from streamer.mqtt.connection import Broker, passing_id
from streamer.mqtt.home_assistant.devices import birth_topics
from streamer.mqtt.home_assistant.errors import DiscoveryListError
from streamer.mqtt.home_assistant.ledger import Ledger
from streamer.mqtt.leftovers import SUBSCRIPTION_REFUSED, reason_value
from streamer.settings import MqttSettings

CHECK = b"check"
CHECK_EXPIRES_S = 60  # who was away for longer has no use for it
NO_REASONS = (
    "over MQTT 3.1.1 a message that its ACL denies may be lost unnoticed: let the broker speak MQTT 5, and "
    "mqtt.version be auto"
)
NOT_TRIED = (
    "those of cameras and people were not tried, since whoever listens there would take a message for an event: "
    "what the broker refuses of them shows in /readyz while the service runs"
)
LOGIN_IN_CLEAR = (
    "warning: the login and all messages go there unencrypted, for whoever is on the way to read: set mqtt.tls"
)
WARN_BEFORE_S = 14 * 86_400.0
ENDS_THE_CONNECTION = "it ends the connection"


def check_topic(mqtt: MqttSettings) -> str:
    """Where it does no harm to try, not retained."""
    return f"{mqtt.topic_prefix}/service/check"


async def try_topic(
    broker: Broker, client_id: str, topic: str, payload: bytes | str, *, retain: bool, expire_s: int | None = None
) -> str | None:
    """None where the broker takes the message, else why not. Raises BrokerUnreachable and BrokerLoginRefused."""
    why: str | None = None
    try:
        async with broker.connect(client_id=client_id) as client:
            why = await client.send(topic, payload, retain=retain, expire_s=expire_s)
    except BrokerLost:
        return why or ENDS_THE_CONNECTION
    return why


async def try_broker(mqtt: MqttSettings) -> str:
    """Log in and publish a message; returns the version of MQTT that the broker speaks.

    Raises BrokerUnreachable, BrokerTlsError, BrokerLoginRefused and BrokerTopicRefused.
    """
    return (await _tried(mqtt)).version


@dataclass(frozen=True, slots=True)
class BrokerTold:
    """`told`: a line for people, the warnings in it; `warnings`: by code, what nobody has to see to at once."""

    told: str
    warnings: Mapping[str, str]


async def check_broker(mqtt: MqttSettings, now_s: float) -> BrokerTold:
    """The same, for people. Raises as try_broker()."""
    broker = await _tried(mqtt)
    how = f"MQTT {broker.version}" + ("" if broker.certificate_until_s is None else ", TLS")
    told = [f"{mqtt.host}:{mqtt.port} takes the login and a message on {check_topic(mqtt)} ({how})", NOT_TRIED]
    warnings = dict[str, str]()
    if broker.certificate_until_s is not None and broker.certificate_until_s - now_s < WARN_BEFORE_S:
        day = time.strftime("%Y-%m-%d", time.gmtime(broker.certificate_until_s))
        warnings["broker_certificate_ends"] = f"warning: its certificate is valid until {day}; renew it"
    if mqtt.tls is None and mqtt.username is not None and not _is_this_machine(mqtt.host):
        warnings["login_in_clear"] = LOGIN_IN_CLEAR
    told += [*warnings.values(), *([] if broker.version == "5" else [NO_REASONS])]
    return BrokerTold("; ".join(told), warnings)


async def check_home_assistant(mqtt: MqttSettings, ledger: Ledger | DiscoveryListError) -> str:
    """Whether its births may be heard, and what it was told so far, as a line for people. Nothing is sent: it would
    take whatever came for a device. Raises as try_broker(), and DiscoveryListError.
    """
    if isinstance(ledger, DiscoveryListError):
        raise ledger
    broker, births = Broker(mqtt), birth_topics(mqtt)
    async with broker.connect(client_id=passing_id(mqtt)) as client:
        granted = await client.subscribe([(topic, QOS) for topic in births])
    if any(reason_value(code) >= SUBSCRIPTION_REFUSED for code in granted):
        raise BrokerTopicRefused(
            f"{broker.where} does not let this login read {' and '.join(births)}, where Home Assistant says that it "
            "has started; check its ACL"
        )
    told = sum(not row.is_gone for row in ledger.rows.values())
    return (
        f"its start is heard on {' and '.join(births)}; {told} devices are told of, {len(ledger.tombstones)} are to be "
        f"forgotten; whether the broker takes what goes below {mqtt.home_assistant.prefix}/device shows in /readyz "
        "while the service runs"
    )


def _is_this_machine(host: str) -> bool:
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _tried(mqtt: MqttSettings) -> Broker:
    broker, topic = Broker(mqtt), check_topic(mqtt)
    why = await try_topic(broker, passing_id(mqtt), topic, CHECK, retain=False, expire_s=CHECK_EXPIRES_S)
    if why is not None:
        raise BrokerTopicRefused(f"{broker.where} takes the login and refuses topic {topic} ({why}); check its ACL")
    return broker
