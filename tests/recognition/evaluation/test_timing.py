from recognition.evaluation.timing import by_turns, embedder_milliseconds


def test_all_get_their_turn_equally_often():
    turns = []
    times = by_turns({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")})
    assert turns == ["a", "b"] * (len(turns) // 2)
    assert len(turns) >= 20
    assert list(times) == ["a", "b"]


def test_an_embedders_time_is_that_of_one_thread():
    assert embedder_milliseconds(("nano_embed",), ())["nano_embed"] > 0
