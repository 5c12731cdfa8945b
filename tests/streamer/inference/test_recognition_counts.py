from streamer.inference.recognition_counts import RecognitionCounts


def test_before_anything_was_answered_nothing_is_divided_by():
    counts = RecognitionCounts()
    assert (counts.recognitions, counts.match_rate, counts.mean_seconds) == (0, 0.0, 0.0)


def test_answers_matches_and_time():
    counts = RecognitionCounts()
    counts.answered("extract", 0.3, "a")
    counts.answered("match", 0.1, "a", matched=True)
    counts.answered("match", 0.1, "b")
    counts.answered("compare", 0.1, None, matched=True)
    assert (counts.recognitions, counts.matches, counts.match_rate) == (4, 2, 0.5)
    assert round(counts.mean_seconds, 9) == 0.15
    assert dict(counts.models) == {"a": 2, "b": 1}
    assert dict(counts.kinds) == {"extract": 1, "match": 2, "compare": 1}
