#!/usr/bin/env bash
# aioice 0.13.0: where gathering candidates is given up (cancelled, by a time limit, say) while a STUN server has not
# answered yet, and the connection is closed, the retry timers of its STUN requests live on. The next one finds its
# transport closed, and the event loop's exception handler is told of an AttributeError for which nobody's code is left
# to answer: close() had returned.
# Seen: "AttributeError: 'NoneType' object has no attribute 'call_exception_handler'" in Transaction.__retry().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check aioice==0.13.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import socket
import sys
from importlib.metadata import version

import aioice

RETRIED_WITHIN_S = 3  # the first retry is due half a second after the request, later ones after twice as long each


async def main() -> None:
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:  # takes requests and answers none
        silent.bind(("127.0.0.1", 0))
        connection = aioice.Connection(ice_controlling=True, stun_server=silent.getsockname())
        try:
            await asyncio.wait_for(connection.gather_candidates(), 0.3)
        except TimeoutError:
            pass
        await connection.close()
        await asyncio.sleep(RETRIED_WITHIN_S)
    for context in told:
        print(f"aioice {version('aioice')}, after close(): {context['message']}: {context.get('exception')!r}")
    if not any(isinstance(context.get("exception"), AttributeError) for context in told):
        sys.exit("no timer was left behind: this has changed")


asyncio.run(main())
PYTHON
