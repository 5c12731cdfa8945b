"""The doors of a running service: what is behind them is the service's own, and forgets with it."""

import asyncio

from streamer.app import running_service
from streamer.process import store_of
from streamer.settings import HttpSettings, IngestSettings, PathsSettings, RtspIngestSettings, Settings, WebrtcSettings
from tests.faces import KNOWN


async def test_a_photos_embedding_is_forgotten_when_anybody_is(tmp_path):
    settings = Settings(
        paths=PathsSettings(data=tmp_path / "data", keys=tmp_path / "keys"),
        http=HttpSettings(port=0),
        ingest=IngestSettings(rtsp=RtspIngestSettings(port=0), webrtc=WebrtcSettings(enabled=False)),
    )
    async with running_service(settings) as service:
        assert service.inference is not None
        assert service.desk is not None
        faces = service.inference.faces
        await faces.extract(KNOWN.file.read_bytes())
        crops = service.inference.crops
        crops.put("a", b"face")
        with store_of(settings) as store:
            ada = store.add_person("Ada")
        async with asyncio.timeout(20):
            while not service.live_gallery.is_enrolled(ada.id):
                await asyncio.sleep(0.01)
            assert (len(faces._cache), crops.bytes_held) == (1, 4)
            await service.desk.run("somebody", lambda store: store.people())
            with store_of(settings) as store:
                store.forget(ada.id)
            while len(faces._cache) or crops.bytes_held or service.desk._store is not None:
                await asyncio.sleep(0.01)
