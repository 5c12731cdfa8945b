"""The limit runs the networks on the pictures themselves: a plain pass of each, and every face of it."""

import pytest

from recognition.recogniser import RecogniserConfig, open_recogniser
from recognition.specs.files import bundled
from streamer.bench.api.bare import bare_s, tensors_of
from tests.faces import KNOWN, STRANGERS, write_photo


class Counted:
    """A TensorRunner that counts what another is given."""

    def __init__(self, inner):
        self.inner, self.device, self.shapes = inner, inner.device, []

    def run(self, batch):
        self.shapes.append(batch.shape)
        return self.inner.run(batch)

    def close(self):
        self.inner.close()


@pytest.mark.parametrize(("people", "count"), [(1, 1), (2, 5), (5, 3)])
async def test_a_pass_for_each_picture_and_each_of_its_faces_embedded(tmp_path, people, count):
    photo = write_photo(tmp_path / "photo.png", *(KNOWN, *STRANGERS)[:people])
    config = RecogniserConfig("nano_det", "nano_embed", (bundled("nano"),), device="cpu", max_batch=2)
    async with open_recogniser(config) as recogniser:
        tensors = await tensors_of(recogniser, photo)
        assert len(tensors.faces) == people
        detector, embedder = recogniser.detector.runner, recogniser.embedder.runner
        detector.tensors, embedder.tensors = scenes, faces = Counted(detector.tensors), Counted(embedder.tensors)
        assert bare_s(recogniser, [tensors], count) > 0
        assert scenes.shapes == [tensors.scene.shape] * count
        assert sum(shape[0] for shape in faces.shapes) == count * people
