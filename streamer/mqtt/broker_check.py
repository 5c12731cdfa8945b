"""Whether the broker takes a message: for `whosthere check`, and for topics that it has refused.

A topic goes in, why it is refused comes out. Each by a connection of its own, on the loop.
"""

from streamer.errors import BrokerLost, BrokerTopicRefused
from streamer.mqtt.connection import Broker, passing_id
from streamer.settings import MqttSettings

CHECK = b"check"
NO_REASONS = (
    "over MQTT 3.1.1 a message that its ACL denies may be lost unnoticed: let the broker speak MQTT 5, and "
    "mqtt.version be auto"
)
NOT_TRIED = (
    "those of cameras and people were not tried, since whoever listens there would take a message for an event: "
    "what the broker refuses of them shows in /readyz while the service runs"
)
ENDS_THE_CONNECTION = "it ends the connection"


def check_topic(mqtt: MqttSettings) -> str:
    """Where it does no harm to try, not retained."""
    return f"{mqtt.topic_prefix}/service/check"


async def try_topic(broker: Broker, client_id: str, topic: str, payload: bytes | str, *, retain: bool) -> str | None:
    """None where the broker takes the message, else why not. Raises BrokerUnreachable and BrokerLoginRefused."""
    why: str | None = None
    try:
        async with broker.connect(client_id=client_id) as client:
            why = await client.send(topic, payload, retain=retain)
    except BrokerLost:
        return why or ENDS_THE_CONNECTION
    return why


async def try_broker(mqtt: MqttSettings) -> str:
    """Log in and publish a message; returns the version of MQTT that the broker speaks.

    Raises BrokerUnreachable, BrokerLoginRefused and BrokerTopicRefused.
    """
    broker, topic = Broker(mqtt), check_topic(mqtt)
    why = await try_topic(broker, passing_id(mqtt), topic, CHECK, retain=False)
    if why is not None:
        raise BrokerTopicRefused(f"{broker.where} takes the login and refuses topic {topic} ({why}); check its ACL")
    return broker.version
