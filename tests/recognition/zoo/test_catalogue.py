import pytest
import yaml

from recognition.errors import ModelNotFound, SpecInvalid
from recognition.specs.files import load_specs
from recognition.zoo.catalogue import find_entry, load_catalogue

ENTRY = {
    "what": "Something",
    "url": "https://example.org/pack.zip",
    "size": 1000,
    "licence": "MIT",
    "licence_url": "https://example.org/licence",
    "stated": "https://example.org",
    "inputs": {"arcface": {"color_order": "rgb", "mean": 0, "std": 1}},
}


def test_the_bundled_catalogue():
    entries = load_catalogue()
    assert {"buffalo_l", "buffalo_s", "buffalo_sc", "antelopev2"} <= set(entries)
    for entry in entries.values():
        assert entry.url.startswith("https://"), entry.name
        assert entry.licence_url.startswith("https://")
        assert entry.is_archive or entry.sha256, "a network alone is pinned"
        if "insightface" in entry.url:
            assert "non-commercial research only" in entry.licence
    assert not set(entries) & set(load_specs()), "a name means one thing"


def test_names():
    assert find_entry("buffalo_l", load_catalogue()).file == "buffalo_l.zip"
    with pytest.raises(ModelNotFound, match="bufalo_l: is not in the catalogue; did you mean buffalo_l"):
        find_entry("bufalo_l", load_catalogue())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"url": "http://example.org/pack.zip"}, "mine: url: want https"),
        ({"url": "file:///etc/pack.zip"}, "mine: url: want https"),
        ({"url": "https://example.org/pack.exe"}, "want a .zip or an .onnx file"),
        ({"sha256": "abc"}, r"mine\.sha256: "),
        ({"size": 0}, r"mine\.size: "),
        ({"inputs": {"facenet": {}}}, r"mine\.inputs\.facenet"),
        ({"colour": "red"}, r"mine\.colour: Extra inputs"),
    ],
)
def test_a_broken_catalogue_is_refused_by_file_and_key(tmp_path, changes, complaint):
    file = tmp_path / "catalogue.yaml"
    file.write_text(yaml.safe_dump({"entries": {"mine": ENTRY | changes}}))
    with pytest.raises(SpecInvalid, match=complaint) as refused:
        load_catalogue(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("text", ["", "a: [1", "- 1", "entries: 3", "entries: {a: 1}"])
def test_what_is_no_catalogue_at_all(tmp_path, text):
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(SpecInvalid, match=r"odd\.yaml"):
        load_catalogue(tmp_path / "odd.yaml")
    with pytest.raises(SpecInvalid, match="can't be read"):
        load_catalogue(tmp_path / "none.yaml")


def test_plain_http_with_a_pinned_digest_or_on_this_machine(tmp_path):
    file = tmp_path / "catalogue.yaml"
    plain = ENTRY | {"url": "http://mirror/pack.zip", "sha256": "0" * 64}
    file.write_text(
        yaml.safe_dump({"entries": {"mirror": plain, "here": ENTRY | {"url": "http://127.0.0.1:8000/a.zip"}}})
    )
    assert set(load_catalogue(file)) == {"mirror", "here"}
