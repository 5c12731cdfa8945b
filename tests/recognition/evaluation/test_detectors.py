import zipfile

import pytest

pytest.importorskip("onnxruntime", reason="measuring needs the extra cpu")

from recognition.evaluation.detectors import FiguresOptions, as_table, measure_detectors

pytestmark = pytest.mark.shared


def test_the_teacher_stands_beside_the_others_in_one_run(shared, tmp_path):
    with zipfile.ZipFile(shared / "faces" / "lfw_train.zip") as source:
        for name in sorted(name for name in source.namelist() if name.endswith("_0001.jpg"))[:8]:
            source.extract(name, tmp_path / "photos")
    options = FiguresOptions(
        detectors=("yunet_n", "scrfd_500m"),
        reference="scrfd_500m",
        photos=tmp_path / "photos",
        clips=(),
        empty_clips=(),
        weights_folders=(shared / "models",),
        cache=tmp_path / "cache",
        scenes=6,
    )
    figures = measure_detectors(options, lambda _: None)
    teacher, other = (figures["detectors"][name] for name in options.detectors)
    assert figures["ratios"]["yunet_n"] == {"scenes": 1.0, "ms": 1.0}
    assert teacher["scenes"]["faces"] == other["scenes"]["faces"] > 0
    assert 0 < teacher["scenes"]["recall"] <= 1
    assert teacher["landmarks"]["mean_error"] == 0
    assert 0 < other["landmarks"]["mean_error"] < 0.15
    assert figures["options"]["photos"] == "photos"
    assert str(tmp_path) not in str(figures)
    heading, rule, *rows = as_table(figures).splitlines()
    assert heading.split() == ["|", "|", "yunet_n", "|", "scrfd_500m", "|"]
    assert set(rule) == {"|", "-", " "}
    assert {line.count("|") for line in (heading, rule, *rows)} == {4}
    assert len({len(line) for line in (heading, rule, *rows)}) == 1
