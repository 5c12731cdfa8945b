"""`models eval` as a user types it: figures, curves and thresholds over a few real people; what is refused."""

import json
import re
import sys
import zipfile
from itertools import groupby, pairwise
from pathlib import Path

import cv2
import pytest
import yaml
from typer.testing import CliRunner, Result

from gallery.index import faiss_index
from recognition.errors import CodedError
from recognition.specs.spec import MatchThresholds
from streamer.commands import app
from tests.command import whosthere
from tests.conftest import LARGER
from tests.faces import EVERYBODY

PEOPLE = 24
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two people's photos (which nobody gets to decode) and a CSV that is too short."""
    monkeypatch.chdir(tmp_path)
    for file in ("Ada/1.jpg", "Ada/2.jpg", "Bob/1.jpg"):
        (tmp_path / "photos" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / file).touch()
    (tmp_path / "short.csv").write_text("image_a,image_b,same\nAda/1.jpg,Ada/2.jpg,1\n")
    (tmp_path / "no_column.csv").write_text("image_a,image_b\n")
    (tmp_path / "stranger.csv").write_text("image_a,image_b,same\nAda/1.jpg,Eve/1.jpg,1\n")
    (tmp_path / "no.zip").write_text("This is no zip.")
    (tmp_path / "empty").mkdir()
    (tmp_path / "whosthere.yaml").write_text(f"paths: {{models: [{tmp_path / 'empty'}]}}")
    return tmp_path


@pytest.fixture(scope="module")
def studio(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real people with two photos each as a folder and as a zip, one photo of nobody, and pairs of them."""
    folder = tmp_path_factory.mktemp("studio")
    with zipfile.ZipFile(shared / "faces" / "lfw_dev.zip") as archive, zipfile.ZipFile(folder / "p.zip", "w") as few:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        people = [list(photos) for _, photos in groupby(names, lambda name: name.split("/")[-2])]
        chosen = [photos[:2] for photos in people if len(photos) > 1][:PEOPLE]
        for name in (name for photos in chosen for name in photos):
            few.writestr(name, archive.read(name))
    with zipfile.ZipFile(folder / "p.zip") as few:
        few.extractall(folder / "photos")
    rows = [f"{a},{b},1" for a, b in chosen]
    rows += [f"{one[0]},{other[1]},0" for one, other in pairwise(chosen)]
    (folder / "pairs.csv").write_text("\n".join(["image_a,image_b,same", *rows]))
    config = {"paths": {"models": [str(shared / "models")]}, "recognition": LARGER}
    (folder / "whosthere.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six people who come with the project, each with a photo and its mirror image."""
    folder = tmp_path_factory.mktemp("album")
    for portrait in EVERYBODY:
        person = folder / "photos" / portrait.file.stem
        person.mkdir(parents=True)
        pixels = portrait.image().bgr()
        for number, photo in enumerate((pixels, pixels[:, ::-1]), 1):
            cv2.imwrite(str(person / f"{number}.png"), photo)
    return folder


def run(typed: str) -> Result:
    return CliRunner().invoke(app, ["models", "eval", *typed.split()])


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("nan --images photos", "model_not_found", "no pack and no spec of this name; did you mean nano"),
        ("yunet_n --images photos", "model_not_found", "is a detector"),
        ("edgeface_xxs --images photos --detector none", "model_not_found", "model none (detector of edgeface_xxs)"),
        ("edgeface_xxs --images gone.zip", "image_missing", "gone.zip can't be read (No such file"),
        ("edgeface_xxs --images no.zip", "image_unreadable", "no.zip is neither a folder nor a zip"),
        ("edgeface_xxs --images empty", "image_missing", "empty holds no photo"),
        ("edgeface_xxs --images photos/Ada", "photo_set_invalid", "no photo in a person's folder; want Name/Name_0001"),
        ("edgeface_xxs --images photos --pairs gone.csv", "pairs_invalid", "gone.csv can't be read"),
        ("edgeface_xxs --images photos --pairs no_column.csv", "pairs_invalid", "no column same"),
        ("edgeface_xxs --images photos --pairs stranger.csv", "pairs_invalid", "line 2: image_b Eve/1.jpg is not"),
        ("edgeface_xxs --images photos --pairs short.csv", "pairs_invalid", "1 pairs of one person and 0 of two"),
        ("edgeface_xxs --images photos --out no.zip", "output_unwritable", "no.zip is a file, and a folder is wanted"),
        ("edgeface_xxs --images photos", "weights_missing", "edgeface_xxs_512.onnx not found"),
    ],
)
def test_refused_with_nothing_left_behind(home: Path, typed: str, code: str, says: str) -> None:
    before = set(home.iterdir())
    ended = run(typed)
    assert isinstance(ended.exception, CodedError), ended.exception
    assert ended.exception.code == code
    assert says in str(ended.exception)
    assert ended.stdout == ""
    assert set(home.iterdir()) == before


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def test_our_own_pack_over_photos_that_come_with_the_project(album: Path) -> None:
    ended = whosthere("models", "eval", "nano", "--images", "photos", "--json", cwd=album)
    assert ended.code == 0, ended.err
    found = ended.document
    assert (found["detector"], found["embedder"]) == ("nano_det", "nano_embed")
    assert (found["people"], found["images"], found["impostor_pairs"]) == (6, 12, 12 * 10 // 2)
    assert (found["verification_accuracy"], found["images_without_face"]) == (None, 0)
    naming = found["naming"]
    assert (naming["aggregation"], naming["margin"]) == ("class_mean", 0.05)
    assert set(naming["fnir"]) == {
        "best",
        "mean_of_three",
        "class_mean",
        "margin",
        "rerank",
    }  # nobody has photos for a class
    one = naming["fnir"]["margin"]["one"]["1e-2"]
    assert (one["fnir"], one["threshold"]) == (None, None)
    assert (one["people"], one["genuine_probes"], one["impostor_probes"]) == (6, 6, 12)
    assert "12 of 12" in ended.err
    assert [file.name for file in album.iterdir()] == ["photos"]


@pytest.mark.shared
def test_figures_as_json_and_nothing_else(studio: Path) -> None:
    arguments = ("mobileface_v2", "--pairs", "pairs.csv", "--images", "photos", "--json", "--thresholds")
    ended = whosthere("models", "eval", *arguments, cwd=studio)
    assert ended.code == 0, ended.err
    found = ended.document
    assert found["verification_accuracy"] >= 0.9
    assert 0.1 < found["threshold"] < 0.5
    assert list(found["tmr"]) == ["1e-2", "1e-3", "1e-4"]
    assert found["tmr"]["1e-2"] >= 0.9
    # 48 photos of 24 people: 1104 pairs of two people can't tell of 1e-4; 24 or fewer probes not of a FPIR of 1e-2.
    assert (found["people"], found["images"], found["impostor_pairs"]) == (24, 48, 48 * 46 // 2)
    assert (found["tmr"]["1e-4"], found["fnir_at_fpir_1e-2"]) == (None, None)
    assert found["images_without_face"] == 0
    assert found["thresholds"]["verification"] == found["thresholds"]["identification"] == 1e-3
    assert "48 of 48" in ended.err
    assert sorted(file.name for file in studio.iterdir()) == ["p.zip", "pairs.csv", "photos", "whosthere.yaml"]


@pytest.mark.shared
def test_a_zip_gives_the_same_with_a_table_curves_and_thresholds_for_the_spec(studio: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ("mobileface_v2", "--pairs", "pairs.csv", "--images", "p.zip", "--thresholds", "--out", tmp_path / "c")
    ended = whosthere("models", "eval", *arguments, cwd=studio)
    assert ended.code == 0, ended.err
    table, section, thresholds = ended.out.partition("thresholds:\n")
    for row in ("verification accuracy", "at FMR 1e-2", "at FMR 1e-4", "FNIR at FPIR 1e-2", "photos without a face"):
        assert row in table
    ways = (
        "best template",
        "mean of the best three",
        "class mean",
        "class mean, margin 0.05",
        "the same, and re-ranking",
    )
    for way in ways:
        for enrolled in ("one", "three", "all"):
            assert re.search(rf"^{way} +{enrolled} +too few +too few +24 of 24 people, 48 others", table, re.MULTILINE)
    assert "48 photos of 24 people" in table
    MatchThresholds.model_validate(yaml.safe_load(section + thresholds)["thresholds"])
    assert {file.name: file.read_bytes()[:8] for file in (tmp_path / "c").iterdir()} == dict.fromkeys(
        ("roc.png", "det.png"), PNG
    )


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_the_figures_are_printed_all_the_same(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    ended = run("nano --images photos")
    assert ended.exit_code == 0, ended.exception
    assert "true-match rate at FMR 1e-2" in ended.stdout
    assert "the curves can't be drawn without Matplotlib; do: pip install 'whosthere[train]'" in ended.stderr
    assert not (album / "eval-nano").exists()


@pytest.fixture
def no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sklearn", None)


@pytest.fixture
def no_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    faiss_index._faiss.cache_clear()


@pytest.mark.usefixtures("no_scikit_learn")
def test_without_scikit_learn_all_but_the_classifier_is_measured(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    ended = run("nano --images photos --json")
    assert ended.exit_code == 0, ended.exception
    assert "no classifier is measured: it needs scikit-learn; do: pip install 'whosthere[classifier]'" in ended.stderr
    assert "class_mean" in json.loads(ended.stdout)["naming"]["fnir"]


@pytest.mark.usefixtures("no_faiss")
def test_without_faiss_all_that_needs_no_gallery_is_measured(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    ended = run("nano --images photos --json")
    assert ended.exit_code == 0, ended.exception
    assert "warning: no way of naming is measured: faiss is not installed" in ended.stderr
    found = json.loads(ended.stdout)
    assert (found["people"], found["naming"]) == (6, None)


@pytest.mark.usefixtures("home", "no_matplotlib")
def test_curves_that_were_asked_for_need_matplotlib() -> None:
    ended = run("edgeface_xxs --images photos --out curves")
    assert isinstance(ended.exception, CodedError)
    assert ended.exception.code == "plots_unavailable"


def test_a_photo_that_is_none_ends_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "1.jpg").write_text("This is no photo.")
    ended = whosthere("models", "eval", "nano", "--images", ".", "--json", cwd=tmp_path)
    assert ended.code == 1
    assert ended.out == ""
    assert "Ada/1.jpg is not a photo that can be read" in ended.err
    assert ended.err.rstrip().endswith("[image_unreadable]")
    assert "Traceback" not in ended.err
