#!/usr/bin/env bash
# aiomqtt 2.5.1 (paho-mqtt 2.2.0): a broker that ends the connection instead of acknowledging a publish at QoS 1, as some do for
# a message that they refuse. Iterating over `messages` raises at once; the publish that waits for its acknowledgement does
# not, and raises only when the client's `timeout` has passed, on a connection that is long gone.
# Seen: messages after 0.0 s, the publish after 4.0 s (timeout=4).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check aiomqtt==2.5.1 paho-mqtt==2.2.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys
import time
from importlib.metadata import version

import aiomqtt

LIMIT_S = 4


async def packet(reader):
    await reader.readexactly(1)
    size = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    await reader.readexactly(size)


async def broker(reader, writer):
    """A CONNECT is accepted (MQTT 3.1.1), and the next packet ends the connection."""
    await packet(reader)
    writer.write(b"\x20\x02\x00\x00")
    await packet(reader)
    writer.close()


async def failing_after(wait):
    began = time.monotonic()
    try:
        await wait
    except aiomqtt.MqttError:
        return time.monotonic() - began
    sys.exit("it did not fail")


async def iterated(client):
    async for _ in client.messages:
        pass


async def main():
    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with aiomqtt.Client("127.0.0.1", port, timeout=LIMIT_S) as client:
            heard, published = await asyncio.gather(
                failing_after(iterated(client)), failing_after(client.publish("a", b"x", qos=1))
            )
    except aiomqtt.MqttError:
        pass  # at the end, since nobody is there to say goodbye to
    server.close()
    print(f"aiomqtt {version('aiomqtt')}: messages failed after {heard:.1f} s, the publish after {published:.1f} s")
    if heard > 1 or published < LIMIT_S - 0.5:
        sys.exit("this has changed")


asyncio.run(main())
PYTHON
