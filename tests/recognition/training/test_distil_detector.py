import zipfile
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra train")
pytest.importorskip("matplotlib", reason="training needs the extra train")

from recognition.training.distil_detector import _REUSED, DetectorOptions, DetectorTask, _Batches, _Kind, is_held_out  # noqa: E402  # after the skip
from recognition.training.loop import Schedule, train  # noqa: E402

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """Some photos of people, among them two who are held out."""
    folder = tmp_path_factory.mktemp("photos")
    with zipfile.ZipFile(shared / "faces" / "lfw_train.zip") as source:
        firsts = sorted(name for name in source.namelist() if name.endswith("_0001.jpg"))
        held = [name for name in firsts if is_held_out(name.split("/")[0])]
        for name in [*firsts[:14], *held[:2]]:
            source.extract(name, folder)
    return folder


@pytest.fixture
def options(shared, photos, tmp_path):
    return DetectorOptions(
        data=photos,
        teacher="yunet_n",
        weights_folders=(shared / "models",),
        out=tmp_path / "run",
        schedule=Schedule(epochs=1, threads=1, warmup_steps=1, save_every_s=0.0),
        scenes=32,
        side=96,
        large_side=160,
        batch=8,
        workers=0,
    )


def test_a_run_learns_keeps_its_record_and_goes_on(options):
    said = []
    net = train(DetectorTask(options, said.append), options.schedule, options.out, said.append)
    assert (options.out / "run.json").exists()
    assert (options.out / "curves.png").exists()
    before = {name: part.clone() for name, part in net.state_dict().items()}
    longer = replace(options.schedule, epochs=2)
    after = train(DetectorTask(options, said.append), longer, options.out, said.append).state_dict()
    assert any(not torch.equal(part, after[name]) for name, part in before.items())
    assert any("after epoch 1" in line for line in said)


def test_batches_are_the_same_for_the_same_epoch_and_seed(options):
    task = DetectorTask(options, lambda _: None)
    one, again = ([part.numpy() for part in next(iter(task.batches(3, 5)))] for _ in range(2))
    for ours, theirs in zip(one, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = next(iter(task.batches(3, 6)))
    assert (other[0].numpy() != one[0]).any()


def test_each_batch_comes_again_mirrored(options):
    batches = _Batches(DetectorTask(options, lambda _: None).photos, (_Kind(96, 8),), 0, 0, 2 * _REUSED)
    once, again = (batches[number][1].numpy().reshape(-1, 4) for number in (3, 3 + _REUSED))
    faces = once[:, 2] > once[:, 0]
    assert faces.any()
    np.testing.assert_allclose(again[faces, 0], 95 - once[faces, 2], atol=1e-3)
    np.testing.assert_allclose(again[faces, 1], once[faces, 1], atol=1e-3)


def test_small_and_large_scenes_come_by_turns(options):
    task = DetectorTask(options, lambda _: None)
    pictures = [tuple(batch[0].shape) for batch in task.batches(0, 0)]
    assert pictures[:2] == [(8, 96, 96, 3), (3, 160, 160, 3)]
    assert len(pictures) == task.steps_per_epoch


def test_people_held_out_are_not_trained_on(options):
    task = DetectorTask(options, lambda _: None)
    facts = task.facts()
    assert facts["held_out_photos"] >= 2
    assert len(task.photos) == facts["photos"] - facts["held_out_photos"]
