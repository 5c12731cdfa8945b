import hashlib
import shutil

import pytest

from recognition.errors import WeightsDigestMismatch, WeightsMissing, WeightsUnreadable
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import bundled, load_specs
from recognition.specs.weights import find_weights, read_weights

SPEC = load_specs()["edgeface_xxs"]
OURS = load_specs()["nano_embed"]  # its weights come with the project, into a copy that is spoilt


def test_the_first_folder_that_has_it_wins(tmp_path):
    folders = [tmp_path / name for name in ("empty", "first", "second")]
    for folder in folders:
        folder.mkdir()
    for folder in folders[1:]:
        (folder / SPEC.file).write_bytes(b"x")
    assert find_weights(SPEC, folders) == folders[1] / SPEC.file


def test_missing_weights_say_where_was_searched_and_where_to_get_them(tmp_path):
    with pytest.raises(WeightsMissing) as missing:
        read_weights(SPEC, [tmp_path / "a", tmp_path / "b"])
    for part in (SPEC.file, str(tmp_path / "a"), str(tmp_path / "b"), SPEC.source, "paths.models"):
        assert part in str(missing.value)
    with pytest.raises(WeightsMissing, match="no folder at all"):
        read_weights(SPEC, [])


def test_a_folder_in_the_file_s_place_is_no_file(tmp_path):
    (tmp_path / SPEC.file).mkdir()
    with pytest.raises(WeightsMissing):
        read_weights(SPEC, [tmp_path])


@pytest.mark.parametrize("how", ["cut short", "one byte altered", "empty", "another model"])
def test_what_is_not_the_spec_s_file_is_refused(tmp_path, how):
    file = tmp_path / OURS.file
    data = (bundled("nano") / OURS.file).read_bytes()
    altered = bytearray(data)
    altered[len(data) // 2] ^= 1
    other = (bundled("nano") / "nano_det.onnx").read_bytes()
    file.write_bytes(
        {"cut short": data[:-1], "one byte altered": bytes(altered), "empty": b"", "another model": other}[how]
    )
    with pytest.raises(WeightsDigestMismatch, match=f"model nano_embed: weights {file}") as refused:
        read_weights(OURS, [tmp_path])
    assert OURS.weights_digest[:12] in str(refused.value)


def test_the_right_file_comes_back_whole(tmp_path):
    shutil.copy(bundled("nano") / OURS.file, tmp_path)
    assert hashlib.sha256(read_weights(OURS, [tmp_path])).hexdigest() == OURS.weights_digest


@pytest.mark.parametrize("data", [b"", b"no graph at all", b"\x08\x07" + b"\x00" * 100])
def test_bytes_that_onnx_runtime_can_t_load(data):
    with pytest.raises(WeightsUnreadable, match="model nano_embed: ONNX Runtime can't load") as refused:
        OnnxRunner(OURS, data, "cpu")
    assert "\n" not in str(refused.value)


def test_half_a_file_whose_digest_the_spec_agrees_with():
    data = (bundled("nano") / OURS.file).read_bytes()
    with pytest.raises(WeightsUnreadable):
        OnnxRunner(OURS, data[: len(data) // 2], "cpu")
