"""The running service's caches hold nothing of who is forgotten: looked for in every object that can be reached."""

import asyncio
import gc
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from streamer.app import running_service
from streamer.erasure.erase import erase
from streamer.settings_reading import load
from tests.command import whosthere
from tests.faces import KNOWN, write_film
from tests.live.mosquitto import Mosquitto
from tests.live.service import until
from tests.live.subscriber import Subscriber

WHO = "Zebedee Unmistakable-Unique"
Running = types.CoroutineType | types.GeneratorType | types.AsyncGeneratorType


def reached_from(root: object) -> Iterator[object]:
    """Everything but modules, classes and what functions could name, which is code, and what tests run."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, types.ModuleType | type) or _is_of_a_test(found):
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, types.FunctionType):
            waiting += [*(found.__closure__ or ()), found.__defaults__, found.__kwdefaults__]
        elif not (isinstance(found, dict) and "__loader__" in found):
            waiting += gc.get_referents(found)


def _is_of_a_test(found: object) -> bool:
    if isinstance(found, types.FrameType):
        return "/tests/" in found.f_code.co_filename
    if isinstance(found, Running):
        code = getattr(found, "cr_code", None) or getattr(found, "gi_code", None) or getattr(found, "ag_code", None)
        return code is not None and "/tests/" in code.co_filename
    return False


def holders(root: object, text: str) -> list[str]:
    """What holds a text, or one that it is in; sets of ids may: the forgotten are known by theirs."""
    found = []
    for holder in reached_from(root):
        if isinstance(holder, str | bytes) or (isinstance(holder, set | frozenset) and text in holder):
            continue
        for value in gc.get_referents(holder):
            words = value.decode(errors="replace") if isinstance(value, bytes) else value
            if isinstance(words, str) and text in words:
                found.append(f"{getattr(holder, '__qualname__', type(holder).__name__)}: {words[:120]}")
    return found


@pytest.mark.live
async def test_the_services_memory_holds_nothing_of_who_is_forgotten_in_view(tmp_path: Path) -> None:
    clip = write_film(tmp_path / "standing.mp4", ([KNOWN], 1))
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    with Mosquitto(folder) as broker, Subscriber(broker.port, tmp_path) as heard:
        door = {"url": str(clip), "fps": 10, "loop": True, "snapshots": True}
        config = {"mqtt": {"port": broker.port}, "http": {"enabled": False}, "cameras": {"door": door}}
        (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump(config | {"ingest": {"rtsp": {"port": 0}}}))
        settings = load(tmp_path / "whosthere.yaml", environ={})
        async with running_service(settings) as service:
            await asyncio.to_thread(whosthere, "enrol", WHO, KNOWN.file, cwd=tmp_path)
            await until(service.live_gallery.person_ids)
            (person_id,) = service.live_gallery.person_ids()
            await until(lambda: [e for e in heard.events("door") if e["person"] and e["person"]["id"] == person_id])
            await until(lambda: heard.on(f"whosthere/people/{person_id}/last_seen"))
            assert holders(service, person_id)
            assert holders(service, WHO)

            report = await asyncio.to_thread(erase, [person_id], settings, actor="grace", in_service=True)
            assert report.left == ()
            await until(lambda: person_id in service.live_gallery.forgotten)
            await until(lambda: heard.events("door")[-1]["person"] is None)
            await until(lambda: not heard.retained(f"whosthere/people/{person_id}/#"))
            await service.outbox.flush()
            for _ in range(
                20
            ):  # the walk takes the service's own loop: not too often, until what was on its way is there
                await asyncio.to_thread(heard.retained, "whosthere/people/#")
                gc.collect()
                if not holders(service, person_id):
                    break
            assert holders(service, person_id) == []
            assert holders(service, WHO) == []
