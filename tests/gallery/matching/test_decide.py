import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gallery.matching.decide import NOBODY, Candidate, Candidates, Match, Rate, agree, confidence, decide, is_refuted

RATES = (Rate(1e-3, 0.241, 0.995), Rate(1e-4, 0.296, 0.992), Rate(1e-5, 0.347, 0.98))


@pytest.mark.parametrize(
    ("similarities", "outcome", "person", "margin"),
    [
        ({"a": 0.7, "b": 0.2}, "known", "a", 0.5),
        ({"a": 0.7}, "known", "a", None),
        ({"a": 0.35}, "known", "a", None),
        ({"a": 0.349}, "unknown", None, None),
        ({"a": 0.2, "b": 0.3}, "unknown", None, 0.1),
        ({"a": 0.7, "b": 0.68}, "ambiguous", None, 0.02),
        ({"a": 0.36, "b": 0.34}, "ambiguous", None, 0.02),
        ({"a": 0.34, "b": 0.33}, "unknown", None, 0.01),
        ({"a": 0.5, "b": 0.5}, "ambiguous", None, 0.0),
    ],
)
def test_one_probe(similarities: dict[str, float], outcome: str, person: str | None, margin: float | None) -> None:
    match = decide([Candidates(similarities)], threshold=0.35, margin=0.05)
    assert (match.outcome, match.person_id) == (outcome, person)
    assert match.margin == (None if margin is None else pytest.approx(margin))
    assert match.similarity == max(similarities.values())
    assert match.best_person == min(similarities, key=lambda name: (-similarities[name], name))


def test_nobody_enrolled_and_nothing_seen_is_unknown() -> None:
    assert decide([], 0.35, 0.05) == decide([Candidates({})], 0.35, 0.05) == NOBODY


def test_a_lead_of_exactly_the_margin_is_enough() -> None:
    assert decide([Candidates({"a": 0.75, "b": 0.5})], 0.35, 0.25).outcome == "known"


def test_probes_vote_by_their_weight() -> None:
    clear, blurred = Candidates({"a": 0.8, "b": 0.1}), Candidates({"a": 0.2, "b": 0.5})
    sure = decide([clear, blurred], 0.35, 0.05, weights=[0.9, 0.1])
    assert (sure.person_id, sure.similarity) == ("a", pytest.approx(0.74))
    assert sure.margin == pytest.approx(0.74 - 0.14)
    assert decide([clear, blurred], 0.35, 0.05, weights=[0.1, 0.9]).person_id == "b"


def test_two_people_in_one_track_get_no_name() -> None:
    halves = [Candidates({"a": 0.8, "b": 0.05}), Candidates({"a": 0.05, "b": 0.8})]
    assert decide(halves, 0.35, 0.05).outcome == "ambiguous"


def test_one_lucky_probe_among_many_names_nobody() -> None:
    probes = [Candidates({"a": 0.6, "b": 0.1})] + [Candidates({"a": 0.1, "b": 0.12})] * 3
    assert decide(probes, 0.35, 0.05).outcome == "unknown"


@pytest.mark.parametrize(
    ("own", "outcome", "person"),
    [
        ({"a": 0.7}, "known", "a"),
        ({"a": 0.71}, "unknown", None),
        ({"a": 0.1}, "known", "a"),
        ({"b": 0.9}, "known", "a"),
        ({"a": 0.8, "b": 0.2}, "unknown", None),
        ({"c": 0.0}, "known", "a"),
    ],
)
def test_a_person_s_own_threshold(own: dict[str, float], outcome: str, person: str | None) -> None:
    """Whoever is less alike is not named because the nearest one is hard to be taken for."""
    match = decide([Candidates({"a": 0.7, "b": 0.5})], 0.35, 0.05, own_thresholds=own)
    assert (match.outcome, match.person_id, match.best_person) == (outcome, person, "a")


def test_a_lower_threshold_of_one_s_own_names_who_would_be_unknown() -> None:
    probes = [Candidates({"a": 0.3, "b": 0.1})]
    assert decide(probes, 0.35, 0.05).outcome == "unknown"
    assert decide(probes, 0.35, 0.05, own_thresholds={"a": 0.3}).person_id == "a"
    lead_needed = decide(probes, 0.35, 0.25, own_thresholds={"a": 0.3})
    assert lead_needed.outcome == "ambiguous"


def test_weights_of_nothing_count_equally() -> None:
    match = decide([Candidates({"a": 0.8}), Candidates({"a": 0.4})], 0.35, 0.05, weights=[0.0, 0.0])
    assert match.similarity == pytest.approx(0.6)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.1], [1.0, math.nan]])
def test_senseless_weights_are_a_bug(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        decide([Candidates({"a": 0.8}), Candidates({"a": 0.4})], 0.35, 0.05, weights=weights)


@pytest.mark.parametrize("probes", [[{"a": 0.7}, {"b": 0.7}], [{"a": 0.7, "b": 0.2}, {"a": 0.7}]])
def test_probes_that_list_other_people_are_a_bug(probes: list[dict[str, float]]) -> None:
    with pytest.raises(KeyError):
        decide([Candidates(probe) for probe in probes], 0.35, 0.05)


COSINES = st.floats(-1, 1, allow_nan=False)


@st.composite
def seen(draw: st.DrawFn) -> tuple[list[Candidates], list[float]]:
    """A track's probes, all of which list the same people, with weights."""
    people = draw(st.sets(st.sampled_from("abcdef")))
    votes = st.fixed_dictionaries(dict.fromkeys(sorted(people), COSINES))
    negatives = st.fixed_dictionaries(dict.fromkeys(sorted(draw(st.sets(st.sampled_from("abcdef")))), COSINES))
    probes = draw(st.lists(st.builds(Candidates, votes, negatives), min_size=1, max_size=5))
    return probes, draw(st.lists(st.floats(0, 1), min_size=len(probes), max_size=len(probes)))


@given(seen(), st.randoms())
def test_order_decides_nothing(track: tuple[list[Candidates], list[float]], random: "st.DataObject") -> None:
    probes, weights = track
    match = decide(probes, 0.35, 0.05, weights)
    order = list(range(len(probes)))
    random.shuffle(order)
    shuffled = []
    for place in order:
        items = list(probes[place].similarities.items())
        random.shuffle(items)
        shuffled.append(Candidates(dict(items), probes[place].negatives))
    assert decide(shuffled, 0.35, 0.05, [weights[place] for place in order]) == match


@given(seen(), COSINES, st.floats(0, 0.5))
def test_what_a_match_says_holds_together(
    track: tuple[list[Candidates], list[float]], threshold: float, margin: float
) -> None:
    probes, weights = track
    match = decide(probes, threshold, margin, weights)
    assert -1 <= match.similarity <= 1
    assert (match.person_id is not None) == (match.outcome == "known")
    assert (match.outcome == "unknown") == (match.best_person is None or match.similarity < threshold)
    assert match.margin is None or match.margin >= 0
    assert (len(match.candidates) > 1) == (match.outcome == "ambiguous")
    if match.outcome == "ambiguous":
        assert match.margin is not None
        assert match.margin < margin
        first = match.candidates[0]
        assert (first.person_id, first.similarity) == (match.best_person, match.similarity)
        assert all(match.similarity - one.similarity <= margin for one in match.candidates)
    if match.outcome == "known":
        assert match.person_id == match.best_person
        assert match.margin is None or match.margin >= margin


@given(seen(), st.lists(st.floats(-1, 0.34), min_size=5, max_size=5))
def test_an_impostor_in_the_gallery_gives_nobody_another_name(
    track: tuple[list[Candidates], list[float]], scores: list[float]
) -> None:
    probes, weights = track
    before = decide(probes, 0.35, 0.05, weights)
    joined = [
        Candidates({**probe.similarities, "impostor": score}, probe.negatives)
        for probe, score in zip(probes, scores, strict=False)
    ]
    after = decide(joined, 0.35, 0.05, weights)
    if before.outcome == "known":
        assert after.person_id in (None, before.person_id)
    else:
        assert after.outcome != "known"


@given(seen(), st.floats(0.35, 0.9))
def test_a_stricter_threshold_never_makes_a_name(track: tuple[list[Candidates], list[float]], stricter: float) -> None:
    probes, weights = track
    if decide(probes, 0.35, 0.05, weights).outcome != "known":
        assert decide(probes, stricter, 0.05, weights).outcome != "known"
        assert decide(probes, 0.35, 0.2, weights).outcome != "known"


@pytest.mark.parametrize(
    ("first", "second", "outcome", "person", "best", "weakest"),
    [
        ({"a": 0.7, "b": 0.2}, {"a": 0.7, "b": 0.3}, "known", "a", "a", 1),  # leads of .3 and .1
        ({"a": 0.45, "b": 0.2}, {"a": 0.9, "b": 0.3}, "known", "a", "a", 0),
        ({"a": 0.7, "b": 0.2}, {"a": 0.59, "b": 0.3}, "unknown", None, "a", 1),
        ({"a": 0.39, "b": 0.2}, {"a": 0.9, "b": 0.3}, "unknown", None, "a", 0),
        ({"a": 0.2, "b": 0.1}, {"a": 0.3, "b": 0.5}, "unknown", None, None, 0),  # short of it by .2 and .1
        ({"a": 0.7, "b": 0.2}, {"a": 0.2, "b": 0.7}, "ambiguous", None, None, 1),  # they name two people
        ({"a": 0.7, "b": 0.68}, {"a": 0.61, "b": 0.2}, "ambiguous", None, "a", 0),  # in doubt, for all its lead
        ({"a": 0.7, "b": 0.68}, {"b": 0.9, "a": 0.2}, "ambiguous", None, None, 0),
        ({"a": 0.7, "b": 0.68}, {"a": 0.59, "b": 0.2}, "unknown", None, "a", 1),
        ({"a": 0.9}, {}, "unknown", None, None, 1),  # who is enrolled has no template in the second space
        ({}, {}, "unknown", None, None, 1),
    ],
)
def test_what_two_models_have_to_agree_on(
    first: dict[str, float], second: dict[str, float], outcome: str, person: str | None, best: str | None, weakest: int
) -> None:
    thresholds = (0.4, 0.6)
    said = [decide([Candidates(s)], t, 0.05) for s, t in zip((first, second), thresholds, strict=True)]
    match, number = agree(said, thresholds)
    assert (match.outcome, match.person_id, match.best_person, number) == (outcome, person, best, weakest)
    assert (match.similarity, match.margin) == (said[number].similarity, said[number].margin)


@given(st.lists(seen(), min_size=1, max_size=3), COSINES, st.floats(0, 0.5))
def test_a_name_is_never_given_unless_every_model_gives_it(
    tracks: list[tuple[list[Candidates], list[float]]], threshold: float, margin: float
) -> None:
    thresholds = [threshold - 0.1 * number for number in range(len(tracks))]
    said = [decide(probes, least, margin, weights) for (probes, weights), least in zip(tracks, thresholds, strict=True)]
    match, weakest = agree(said, thresholds)
    named = {one.person_id for one in said}
    assert match.person_id == (named.pop() if len(named) == 1 else None)
    assert (match.outcome == "known") == (match.person_id is not None)
    assert (match.outcome == "unknown") == any(one.outcome == "unknown" for one in said)
    assert match.similarity == said[weakest].similarity
    if len(said) == 1:
        assert match == said[0]


def _known(similarity: float) -> Match:
    return Match("known", "a", similarity, None, "a")


def _unknown(similarity: float) -> Match:
    return Match("unknown", None, similarity, None, "a")


@pytest.mark.parametrize(
    ("similarity", "templates", "expected"),
    [
        (0.347, 1, 1 - 1e-5),
        (0.347, 1000, 1 - 1e-2),
        (0.296, 100, 1 - 1e-2),
        (0.2685, 1, 1 - math.sqrt(1e-3 * 1e-4)),
        (0.9, 1000, 1 - 1e-2),
        (0.347, 1_000_000, 0.0),
        (0.186, 1, 1 - 1e-2),
        (-1.0, 1, 0.0),
        (0.9, 0, 1.0),
    ],
)
def test_confidence_in_a_name(similarity: float, templates: int, expected: float) -> None:
    assert confidence(_known(similarity), RATES, templates) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [(-0.3, 0.995), (0.1, 0.995), (0.241, 0.995), (0.2685, 0.9935), (0.347, 0.98), (0.398, 0.968), (1.0, 0.826)],
)
def test_confidence_that_it_is_a_stranger(similarity: float, expected: float) -> None:
    assert confidence(_unknown(similarity), RATES, 10) == pytest.approx(expected, abs=1e-3)


def test_confidence_where_there_is_little_to_say() -> None:
    assert confidence(NOBODY, RATES, 0) == 1.0
    assert confidence(Match("ambiguous", None, 0.6, 0.01, "a"), RATES, 10) is None


def test_there_is_no_confidence_where_nothing_was_measured() -> None:
    for match in (NOBODY, _known(0.9), _unknown(0.1), Match("ambiguous", None, 0.6, 0.01, "a")):
        assert confidence(match, (), 10) is None


def test_confidence_from_a_single_row() -> None:
    row = [(1e-3, 0.3, 0.9)]
    assert confidence(_known(0.31), row, 10) == pytest.approx(0.99)
    assert confidence(_known(0.29), row, 10) == 0.0
    assert confidence(_unknown(0.29), row, 10) == 0.9
    assert confidence(_unknown(0.31), row, 10) == 0.0


@given(st.lists(COSINES, min_size=2, max_size=8), st.integers(0, 10_000))
def test_confidence_is_a_share_and_goes_with_the_similarity(cosines: list[float], templates: int) -> None:
    for lower, higher in pairwise(sorted(cosines)):
        sure = [confidence(_known(s), RATES, templates) for s in (lower, higher)]
        strange = [confidence(_unknown(s), RATES, templates) for s in (lower, higher)]
        assert 0 <= sure[0] <= sure[1] <= 1
        assert 1 >= strange[0] >= strange[1] >= 0


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert confidence(_known(0.3), RATES[::-1], 5) == confidence(_known(0.3), RATES, 5)


@pytest.mark.parametrize(
    ("own", "outcome"),
    [
        ({}, "known"),
        ({"a": 0.7}, "unknown"),
        ({"a": 0.6}, "known"),
        ({"a": 0.2}, "known"),
        ({"b": 0.1}, "known"),  # the second best is nobody's name, however low the own threshold
        ({"a": 0.7, "b": 0.1}, "unknown"),
    ],
)
def test_a_person_may_have_an_own_threshold(own, outcome):
    match = decide([Candidates({"a": 0.6, "b": 0.3})], 0.5, 0.05, own_thresholds=own)
    assert (match.outcome, match.person_id, match.best_person) == (outcome, "a" if outcome == "known" else None, "a")


@pytest.mark.parametrize(
    ("similarities", "named"),
    [
        ({"a": 0.7, "b": 0.68}, ["a", "b"]),
        ({"a": 0.68, "b": 0.7, "c": 0.1}, ["b", "a"]),
        ({"a": 0.6, "b": 0.57, "c": 0.58, "d": 0.549}, ["a", "c", "b"]),  # three of a family
        ({"b": 0.5, "a": 0.5}, ["a", "b"]),
    ],
)
def test_an_ambiguous_match_says_between_whom(similarities: dict[str, float], named: list[str]) -> None:
    match = decide([Candidates(similarities)], 0.35, 0.05)
    assert match.candidates == tuple(Candidate(who, similarities[who]) for who in named)


@pytest.mark.parametrize(
    ("similarities", "negatives", "outcome", "person"),
    [
        ({"a": 0.7, "b": 0.2}, {"a": 0.9}, "unknown", None),  # nearer to a face that is not a's
        ({"a": 0.7, "b": 0.2}, {"a": 0.66}, "unknown", None),  # and as near, within what was measured
        ({"a": 0.7, "b": 0.2}, {"a": 0.64}, "known", "a"),
        ({"a": 0.7, "b": 0.68}, {"a": 1.0}, "known", "b"),  # it is not a, so nothing is in doubt
        ({"a": 0.7, "b": 0.68}, {"b": 1.0}, "known", "a"),
        ({"a": 0.7, "b": 0.68}, {"c": 1.0}, "ambiguous", None),
        ({"a": 0.7, "b": 0.68}, {"a": 1.0, "b": 1.0}, "unknown", None),
        ({"a": 0.7, "b": 0.3}, {"a": 0.9}, "unknown", None),  # who is less alike than the threshold is not named
        ({"a": 0.7}, {"a": -1.0}, "known", "a"),
    ],
)
def test_whom_a_negative_refutes_is_no_candidate(
    similarities: dict[str, float], negatives: dict[str, float], outcome: str, person: str | None
) -> None:
    match = decide([Candidates(similarities, negatives)], 0.35, 0.05)
    assert (match.outcome, match.person_id) == (outcome, person)
    if negatives.get("a", 0) > 0.8:
        assert match.best_person != "a"


def test_negatives_are_voted_as_people_are() -> None:
    clear = Candidates({"a": 0.8, "b": 0.1}, {"a": 0.3})
    blurred = Candidates({"a": 0.4, "b": 0.1}, {"a": 0.5})
    assert decide([clear, blurred], 0.35, 0.05, [0.9, 0.1]).person_id == "a"
    assert decide([clear, blurred], 0.35, 0.05, [0.1, 0.9]).outcome == "unknown"


def test_what_models_doubt_is_told_of_all_of_them() -> None:
    doubts = decide([Candidates({"a": 0.7, "b": 0.68})], 0.4, 0.05)
    sure_of_c = decide([Candidates({"c": 0.9, "b": 0.2})], 0.6, 0.05)
    match, _ = agree([doubts, sure_of_c], (0.4, 0.6))
    assert match.candidates == (Candidate("a", 0.7), Candidate("b", 0.68), Candidate("c", 0.9))
    two_names, _ = agree([decide([Candidates({who: 0.9})], 0.4, 0.05) for who in "ab"], (0.4, 0.4))
    assert [one.person_id for one in two_names.candidates] == ["a", "b"]
    one_name, _ = agree([decide([Candidates({"a": 0.9})], 0.4, 0.05)] * 2, (0.4, 0.4))
    assert (one_name.person_id, one_name.candidates) == ("a", ())


@pytest.mark.parametrize(
    ("similarity", "negative", "refuted"),
    [(0.6, 0.9, True), (0.6, 0.6, True), (0.6, 0.551, True), (0.6, 0.549, False), (0.2, -1.0, False), (1.0, 1.0, True)],
)
def test_what_is_as_near_to_a_negative_is_refuted(similarity: float, negative: float, refuted: bool) -> None:
    assert is_refuted(similarity, negative) is refuted
