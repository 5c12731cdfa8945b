import pytest

from recognition.near_names import did_you_mean

MODELS = ["scrfd_500m", "scrfd_2.5g", "edgeface_xxs"]


@pytest.mark.parametrize(
    ("name", "known", "told"),
    [
        ("scrfd_500", MODELS, "; did you mean scrfd_500m?"),
        ("SCRFD_2.5G", MODELS, "; did you mean scrfd_2.5g?"),
        ("xxs", MODELS, "; did you mean edgeface_xxs?"),
        ("ada lovelase", ["Ada Lovelace", "Grace Hopper"], "; did you mean 'Ada Lovelace'?"),
        ("Grace", ["Ada Lovelace", "Grace Hopper"], "; did you mean 'Grace Hopper'?"),
        ("Zoe", ["Zoë"], "; did you mean 'Zoë'?"),
        ("yolo", MODELS, "; see the list"),
        ("", MODELS, "; see the list"),
        ("scrfd_500m", [], "; see the list"),
    ],
)
def test_the_one_that_was_meant_else_where_to_look(name, known, told):
    assert did_you_mean(name, known, "see the list") == told
