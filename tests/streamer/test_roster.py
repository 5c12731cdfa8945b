"""Who is enrolled with another embedder can't be named, and the log says so."""

import logging
from pathlib import Path

import numpy as np
import pytest

from gallery.store import PersonStore
from recognition.recogniser import RecogniserConfig, open_recogniser
from streamer.metrics import Metrics
from streamer.roster import Roster
from streamer.settings import load
from tests.gallery.fakes import photo_of


async def test_people_of_another_embedder_are_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = load(overrides=[f"paths.data={tmp_path}"])
    async with open_recogniser(RecogniserConfig("nano_det", "nano_embed", ())) as recogniser:
        embedding = np.eye(1, recogniser.embedder.spec.embedding_size, dtype=np.float32)[0]
        with PersonStore(settings.gallery_path) as store:
            store.add_person("Ada", [photo_of(embedding, space=recogniser.space)])
            store.add_person("Grace", [photo_of(embedding, space="another.1")])
        with caplog.at_level(logging.WARNING, logger="streamer.roster"):
            async with Roster.open(settings, recogniser, Metrics()) as roster:
                assert "1 of 2 people have no template for nano_embed" in caplog.text
                caplog.clear()
                with PersonStore(settings.gallery_path) as store:
                    store.add_person("Alan", [photo_of(embedding, space=recogniser.space)])
                await roster.refresh()
                assert roster.people == 3
                assert not caplog.text
