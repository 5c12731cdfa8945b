"""`bench --gallery` on a small gallery: every row is there, and what each says is measured."""

import re
import zipfile

import pytest

from streamer.bench.gallery import run
from streamer.bench.gallery.run import GalleryBenchOptions, Row, run_gallery
from streamer.bench.parts import Parts
from streamer.errors import BenchFailed
from tests.faces import KNOWN, STRANGERS

ROWS = {
    *("upgrade_s", "upgrade_cpu_s", "start_cpu_s", "start_s", "start_rss_mib", "search_p50_ms", "search_p99_ms"),
    *("enrolled_real_photos_per_s", "enrolled_real_photos_per_cpu_s"),
    *(
        "search_recall",
        "follow_cpu_s",
        "enrolled_photos_per_s",
        "enrolled_photos_per_cpu_s",
        "enrolled_among_many_photos_per_s",
    ),
    *("forget_key_s", "forget_done_s", "forget_unknown_s", "forget_search_p50_ms", "forget_search_p99_ms"),
}


@pytest.mark.thorough  # each figure has tests of its own beside this
@pytest.mark.parametrize("people", [120])
def test_every_row_is_measured(tmp_path, monkeypatch, people):
    monkeypatch.setattr(run, "before", lambda folder: None)  # a checkout without history
    said = []
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as faces:
        for number, portrait in enumerate((KNOWN, *STRANGERS[:2])):
            faces.write(portrait.file, f"person {number}/1.jpg")
    options = GalleryBenchOptions(tmp_path / "bench", people, 8, tmp_path / "faces.zip", rounds=1, beside_s=0.3)
    parts = Parts(said.append)
    document = run_gallery(options, parts)
    assert parts.failed == []
    assert document.keys() == {"gallery", "gallery_store", "others_share"}
    assert document["gallery_store"].keys() == ROWS
    for row in document["gallery_store"].values():
        assert row["ours"] > 0
        assert row["before"] is row["ratio_to_before"] is None
    assert document["gallery_store"]["search_recall"]["ours"] == 1.0
    assert list(document["gallery"]) == ["1000", "rerank200_ms"]
    assert document["gallery"]["rerank200_ms"] > 0
    assert document["gallery_store"]["start_cpu_s"]["goal"] == 5.0
    real = document["gallery_store"]["enrolled_real_photos_per_s"]
    assert real["limit"] > 0, "the networks by themselves"
    assert real["goal"] == pytest.approx(0.85 * real["limit"], rel=0.02)
    assert said
    assert list((tmp_path / "bench").iterdir()) == []


def test_without_room_it_is_not_begun(tmp_path):
    with pytest.raises(BenchFailed, match="MiB are needed"):
        run_gallery(GalleryBenchOptions(tmp_path / "bench", people=10**12), Parts(print))
    assert list((tmp_path / "bench").iterdir()) == []


def test_a_probe_that_fails_is_told_and_the_other_parts_stand(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "before", lambda folder: None)
    monkeypatch.setattr(run, "write_crowd", lambda path, people: (path.parent.mkdir(), path.write_bytes(b"no gallery")))
    monkeypatch.setattr(run._GalleryBench, "_searched", lambda self, templates, asked: {"search_recall": Row(1.0)})
    for one in ("_followed", "_enrolled", "_forgotten"):
        monkeypatch.setattr(run._GalleryBench, one, lambda self: {})
    monkeypatch.setattr(run, "run_matching", lambda sizes: {})
    monkeypatch.setattr(run, "run_rerank", lambda: {"ours_ms": 0.5})
    parts, said = Parts(lambda line: said.append(line)), []
    document = run_gallery(GalleryBenchOptions(tmp_path / "bench", 100, rounds=1), parts)
    (failed,) = parts.failed
    assert failed["part"] == "start"
    assert re.search(r"at start of ours: .*damaged or no gallery", failed["why"])
    assert document["gallery_store"] == {"search_recall": Row(1.0).told()}
    assert any("search_recall" in line for line in said), "told as soon as it is measured"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Row(2.0, 4.0), {"ours": 2.0, "before": 4.0, "limit": None, "goal": None, "ratio_to_before": 0.5}),
        (Row(1234.56), {"ours": 1235, "before": None, "limit": None, "goal": None, "ratio_to_before": None}),
        (
            Row(0.012345, 0.0, 0.01, 2.0),
            {"ours": 0.0123, "before": 0.0, "limit": 0.01, "goal": 2.0, "ratio_to_before": None},
        ),
    ],
)
def test_a_row_says_how_ours_is_to_the_one_before(row, told):
    assert row.told() == told
