import pytest

from streamer.naming.places import note_place, trained_places
from streamer.settings_reading import load


@pytest.mark.parametrize("count", [0, 1, 3])
def test_every_place_is_known_once(tmp_path, count):
    settings = load(overrides=[f"paths.data={tmp_path}", f"paths.classifier={tmp_path / 'own'}"], environ={})
    others = [tmp_path / f"other{number}" for number in range(count)]
    for place in (settings.paths.classifier, *others, *others):
        note_place(settings, place)

    assert trained_places(settings) == [settings.paths.classifier, *others]


@pytest.mark.parametrize("content", [b"", b"rubbish", b"3", b"null"])
def test_a_list_that_can_not_be_read_is_none(tmp_path, content):
    settings = load(overrides=[f"paths.data={tmp_path}"], environ={})
    settings.classifiers_path.write_bytes(content)

    assert trained_places(settings) == [settings.paths.classifier]
