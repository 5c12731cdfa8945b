"""The command as a process: how it ends."""

import asyncio
import signal
import sys

import psutil
import pytest

from tests.command import whosthere

BROKER = """
import asyncio, uvloop
from streamer.bench.processes import broker_process
from streamer.cli.bench.command import ended_as_by_ctrl_c

async def work():
    async with broker_process():
        print("open", flush=True)
        await asyncio.sleep(600)

with ended_as_by_ctrl_c():
    uvloop.run(work())
"""


async def test_what_it_started_ends_with_it_when_it_is_killed():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BROKER, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"open\n"
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        process.send_signal(signal.SIGTERM)
        await process.wait()
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("typed", ["--part vbr", "--seconds 9", "--models --part cbr"])
def test_what_is_of_idle_alone_is_refused_beside_anything_else(tmp_path, typed):
    ended = whosthere("bench", *typed.split(), cwd=tmp_path)
    assert ended.code == 2
    assert "add --idle" in ended.err
    assert list(tmp_path.iterdir()) == []
