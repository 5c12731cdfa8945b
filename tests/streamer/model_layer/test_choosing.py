"""An embedder chosen over HTTP: followed, refused and taken back, or not answered in time."""

import asyncio
import base64
import json

import numpy as np
import pytest

from recognition.errors import ModelNotFound, WeightsDigestMismatch
from streamer.errors import ModelNotSwitched, PeopleNotCovered
from streamer.model_layer.choosing import ModelChooser, may_serve
from streamer.model_layer.manual_choice import AUTO, read_choice
from streamer.process import make_data_folder
from tests.streamer.model_layer.test_layer import choose, enrolled_for, running, settings_in
from tests.twin import TWIN, write_twin

STRANGE = base64.b64encode(np.random.default_rng(3).normal(size=256).astype("<f2").tobytes()).decode()


async def test_a_choice_is_followed_and_given_back(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,), minimum_stay_s=0)
    async with running(settings) as (layer, _):
        chooser = ModelChooser(layer)
        assert (await chooser.use(TWIN))["embedder"]["name"] == TWIN
        assert layer.recogniser.embedder.name == TWIN
        assert read_choice(settings.model_choice_path).embedder == TWIN
        assert (await chooser.use(AUTO))["by_hand"] is None
        assert read_choice(settings.model_choice_path).embedder is None


async def test_what_the_service_can_not_load_is_refused_and_the_choice_before_stays(tmp_path):
    write_twin(tmp_path / "weights")
    write_twin(tmp_path / "weights", "strange", sample=STRANGE)  # its weights are whole, and not what the spec says
    settings = settings_in(tmp_path, ladder=(TWIN,), minimum_stay_s=0)
    async with running(settings) as (layer, _):
        chooser = ModelChooser(layer)
        await chooser.use(TWIN)
        with pytest.raises(ModelNotSwitched) as refused:
            await chooser.use("strange")
        assert "strange" in str(refused.value)
        assert "the choice was taken back" in str(refused.value)
        assert read_choice(settings.model_choice_path).embedder == TWIN
        assert layer.recogniser.embedder.name == TWIN


async def test_who_does_not_answer_in_time_is_told_so(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,), poll_s=60.0)
    async with running(settings) as (layer, _):
        with pytest.raises(ModelNotSwitched, match=r"no answer within 0\.05 s"):
            await ModelChooser(layer, within_s=0.05).use(TWIN)
        assert read_choice(settings.model_choice_path).embedder is None


async def test_one_choice_at_a_time(tmp_path):
    write_twin(tmp_path / "weights")
    settings = settings_in(tmp_path, ladder=(TWIN,), minimum_stay_s=0)
    async with running(settings) as (layer, _):
        chooser = ModelChooser(layer)
        names = [TWIN, "nano_embed", TWIN]
        documents = await asyncio.gather(*map(chooser.use, names))
        assert [document["embedder"]["name"] for document in documents] == names


async def test_what_can_not_be_chosen_leaves_the_choice(tmp_path):
    write_twin(tmp_path / "weights")
    write_twin(tmp_path / "weights", "changed", weights_digest="0" * 64)
    settings = settings_in(tmp_path)
    make_data_folder(settings.paths.data)
    enrolled_for(settings, "nano_embed.2", 256)
    choose(settings, "nano_embed")
    before = json.loads(settings.model_choice_path.read_text())
    async with running(settings) as (layer, _):
        for name, error in (("nobody", ModelNotFound), ("changed", WeightsDigestMismatch), (TWIN, PeopleNotCovered)):
            with pytest.raises(error):
                await ModelChooser(layer).use(name)
        assert json.loads(settings.model_choice_path.read_text()) == before
        assert may_serve(TWIN, settings, layer.manager, has_gallery=False).name == TWIN, "nobody is looked for"
