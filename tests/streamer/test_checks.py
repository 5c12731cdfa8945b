"""`check` of cameras that push: the port that they come to, and their logins."""

import asyncio
import socket
from pathlib import Path

import pytest

from gallery.keys.encryption import MasterKey
from recognition.specs.files import load_specs
from streamer.checks import Finding, _config, check_everything
from streamer.ingest.publish.point import PublishPoint
from streamer.ingest.rtsp.server import RtspServer
from streamer.process import store_of
from streamer.settings import (
    CameraSettings,
    GallerySettings,
    HttpSettings,
    IngestSettings,
    PathsSettings,
    RtspIngestSettings,
    Settings,
    WebrtcSettings,
)
from streamer.telemetry.metrics import Metrics
from tests.gallery.fakes import photo_of, unit
from tests.rerank_libraries import compiled, example, needs_compiler


async def findings(
    tmp_path: Path, port: int, webrtc: WebrtcSettings | None = None, **camera: object
) -> dict[str, Finding]:
    door = CameraSettings.model_validate({"url": "publish://", "password": "word", **camera})
    settings = Settings(
        paths=PathsSettings(models=(tmp_path,), data=tmp_path / "data"),
        ingest=IngestSettings(rtsp=RtspIngestSettings(port=port), webrtc=webrtc or WebrtcSettings()),
        cameras={"door": door},
    )
    return {finding.part: finding for finding in await check_everything(settings)}


@pytest.mark.parametrize("password", ["${NOBODY_SET_IT}", "word"])
async def test_a_free_port_and_a_login(tmp_path: Path, free_port: int, password: str):
    found = await findings(tmp_path, free_port, password=password)
    assert found["rtsp ingest"] == Finding("rtsp ingest", True, f"127.0.0.1:{free_port} is free")
    door = found["camera door"]
    if password == "word":
        assert door.detail == f"has its login; publishers come to rtsp://USER:PASSWORD@127.0.0.1:{free_port}/door"
    else:
        assert (door.ok, door.code) == (False, "camera_variable_unset")


async def test_a_port_of_the_service_itself(tmp_path: Path):
    point = PublishPoint("door", CameraSettings(url="publish://", password="word"))
    async with RtspServer(RtspIngestSettings(port=0), {"door": point}, Metrics()) as server:
        assert (await findings(tmp_path, server.port))["rtsp ingest"].detail.startswith("the service listens on")


async def test_a_port_of_somebody_else(tmp_path: Path):
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await findings(tmp_path, port))["rtsp ingest"].code == "port_in_use"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert (await findings(tmp_path, silent.getsockname()[1]))["rtsp ingest"].code == "port_in_use"


async def test_no_camera_pushes(tmp_path: Path, free_port: int):
    assert "rtsp ingest" not in await findings(tmp_path, free_port, enabled=False)


@pytest.mark.parametrize(
    ("servers", "detail"),
    [
        ((), "browsers may publish and watch; no STUN and TURN servers"),
        (("stun:a", "turn:u:p@b"), "browsers may publish and watch; 2 STUN and TURN servers"),
    ],
)
async def test_webrtc_as_it_is_configured(tmp_path: Path, free_port: int, servers: tuple[str, ...], detail: str):
    found = await findings(tmp_path, free_port, WebrtcSettings(ice_servers=servers))
    assert found["webrtc"] == Finding("webrtc", True, detail)


async def test_webrtc_that_can_not_be_had_as_it_is_configured(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
):
    found = await findings(tmp_path, free_port, WebrtcSettings(ice_servers=("turn:u:${NOBODY_SET_IT}@b",)))
    assert (found["webrtc"].ok, found["webrtc"].code) == (False, "config_invalid")
    monkeypatch.setattr("streamer.checks.find_spec", lambda name: None)
    found = await findings(tmp_path, free_port)
    assert (found["webrtc"].ok, "pip install" in found["webrtc"].detail) == (True, True)
    assert "webrtc" not in await findings(tmp_path, free_port, WebrtcSettings(enabled=False))


async def gallery_line(tmp_path: Path, **gallery: object) -> Finding:
    settings = Settings.model_validate({"paths": {"models": [tmp_path], "data": tmp_path / "data"}, "gallery": gallery})
    return {finding.part: finding for finding in await check_everything(settings)}["gallery"]


async def test_how_the_gallery_is_protected_is_told(tmp_path: Path):
    plain = await gallery_line(tmp_path, encryption=False)
    assert "; plain: whoever reads that file" in plain.detail
    sealed = await gallery_line(tmp_path)
    assert (
        f"of file {tmp_path / 'data-keys' / 'master.key'}: a copy of paths.data alone tells of nobody" in sealed.detail
    )
    assert "keep a copy apart" in sealed.detail
    assert (
        "gallery.encryption is false: whosthere gallery rekey"
        in (await gallery_line(tmp_path, encryption=False)).detail
    )
    other = tmp_path / "other.key"
    other.write_text(MasterKey.new().to_text())
    moved = await gallery_line(tmp_path, master_key={"file": other})
    assert f"that is not the key of file {other}, as gallery.master_key says: whosthere gallery rekey" in moved.detail
    assert all(one.ok and "\n" not in one.detail for one in (plain, sealed, moved))


@pytest.mark.parametrize("dim", [2, 64, 1024])
async def test_templates_of_another_size_than_their_models_are_a_fault(tmp_path: Path, free_port: int, dim: int):
    space = load_specs()["nano_embed"].space
    with store_of(Settings(paths=PathsSettings(data=tmp_path / "data"))) as store:
        store.add_person("Ada", [photo_of(unit(1, dim), space=space), photo_of(unit(2, 32), 2, space="unknown.1")])
    found = (await findings(tmp_path, free_port))["gallery"]
    assert (found.ok, found.code) == (False, "embedding_space_mismatch")
    assert f"1 people in {tmp_path}/data/gallery.db have templates of {dim} numbers in {space}" in found.detail


async def test_a_key_that_is_away_and_a_damaged_gallery_are_faults(tmp_path: Path):
    await gallery_line(tmp_path)
    key = tmp_path / "data-keys" / "master.key"
    key.rename(tmp_path / "kept")
    assert (await gallery_line(tmp_path)).code == "master_key_missing"
    key.write_text(MasterKey.new().to_text())
    assert (await gallery_line(tmp_path)).code == "master_key_wrong"
    (tmp_path / "kept").rename(key)
    gallery = tmp_path / "data" / "gallery.db"
    content = bytearray(gallery.read_bytes())
    content[4096 * 3 : 4096 * 12] = b"\xff" * (4096 * 9)
    gallery.write_bytes(content)
    found = await gallery_line(tmp_path)
    assert (found.code, "gallery restore" in found.detail or "backup" in found.detail) == ("gallery_unreadable", True)


@pytest.mark.parametrize("content", [None, b"", b"no library"])
async def test_a_re_ranking_library_is_tried(tmp_path: Path, free_port: int, content: bytes | None):
    library = tmp_path / "rerank.so"
    if content is not None:
        library.write_bytes(content)
    settings = Settings(
        paths=PathsSettings(models=(tmp_path,), data=tmp_path / "data"),
        gallery=GallerySettings(rerank_library=library),
        http=HttpSettings(port=free_port),
    )
    found = {finding.part: finding for finding in await check_everything(settings)}["re-ranking"]
    assert (found.ok, found.code) == (False, "rerank_library_unusable")
    assert str(library) in found.detail


@needs_compiler
async def test_a_re_ranking_library_that_is_right_is_said(tmp_path: Path, free_port: int):
    library = compiled(tmp_path, example())
    settings = Settings(
        paths=PathsSettings(models=(tmp_path,), data=tmp_path / "data"),
        gallery=GallerySettings(rerank_library=library),
        http=HttpSettings(port=free_port),
    )
    found = {finding.part: finding for finding in await check_everything(settings)}["re-ranking"]
    assert found == Finding("re-ranking", True, f"{library} gives the built-in kernel's scores")


HALF, REST = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]


@pytest.mark.parametrize(
    ("areas", "told"),
    [
        ({"masks": [HALF, REST]}, "camera door: its masks cover all of its picture: nobody is seen there"),
        ({"masks": [HALF], "regions": [HALF]}, "camera door: its masks cover all that lies in its regions"),
        ({"masks": [HALF], "regions": [REST]}, None),
        ({"masks": [HALF, REST], "enabled": False}, None),
    ],
)
def test_masks_that_leave_nothing_are_told(areas: dict[str, object], told: str | None):
    door = CameraSettings.model_validate({"url": "door.mp4", **areas})
    found = _config(Settings(cameras={"door": door}), ["door"] if door.enabled else [])
    assert found.ok
    assert [note.code for note in found.notes] == ([] if told is None else ["camera_sees_nothing"])
    assert (told or "enabled") in found.detail
