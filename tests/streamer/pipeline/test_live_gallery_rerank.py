"""gallery.rerank in the running service: names that it takes away, a library of the user's, what metrics say."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gallery.errors import RerankLibraryUnusable
from gallery.matching.rerank import DEFAULT_THRESHOLD
from streamer.pipeline.tracking import KeptFace
from streamer.pipeline.visits import Verdict
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from tests.galleries import open_store
from tests.gallery.fakes import photo_of
from tests.gallery.matching.test_reconsider import crowd
from tests.rerank_libraries import compiled, example, needs_compiler
from tests.streamer.scripted import live_gallery_of

# The nearest person by cosine, whose neighbours are rather another's; and one who is plainly p0.
DOUBTFUL, PLAIN = {"seed": 32, "between": 0.9}, {"seed": 3, "between": 0.0}


async def verdict_on(
    folder: Path, scene: Mapping[str, float], metrics: Metrics | None = None, **rules: object
) -> tuple[Verdict, dict[str, str]]:
    """Of one probe held against a crowd by these settings; and who is who."""
    probe, templates = crowd(int(scene["seed"]), scene["between"], dim=512, noise=1.2)
    overrides = [f"gallery.{key}={value}" for key, value in rules.items()]
    async with live_gallery_of(folder, {}, metrics, overrides) as (live_gallery, _):
        with open_store(folder / "gallery.db") as store:
            ids = {}
            for name in dict.fromkeys(templates.person_ids):
                rows = [row for row, owner in enumerate(templates.person_ids) if owner == name]
                photos = [photo_of(templates.matrix[row], row, "a.1") for row in rows]
                ids[store.add_person(name, photos).id] = name
        await live_gallery.refresh()
        (verdict,) = await live_gallery.identify([[KeptFace(probe, 0.8, "a")]])
        return verdict, ids


def count(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("rerank", [False, True])
async def test_a_name_is_taken_away_where_the_neighbours_speak_for_another(tmp_path: Path, rerank: bool) -> None:
    metrics = Metrics()
    verdict, ids = await verdict_on(tmp_path, DOUBTFUL, metrics, rerank=rerank)
    assert verdict.match.outcome == ("ambiguous" if rerank else "known")
    assert [ids[one.person_id] for one in verdict.match.candidates] == (["p0", "p1"] if rerank else [])
    assert ids[verdict.match.best_person or ""] == "p0"
    assert count(metrics, "whosthere_rerank_seconds_count") == rerank
    assert count(metrics, "whosthere_rerank_candidates_sum") == (50 if rerank else 0)


@pytest.mark.parametrize(("bar", "outcome"), [(None, "known"), (0.1, "known"), (0.99, "unknown")])
async def test_a_threshold_of_the_users_is_a_bar(tmp_path: Path, bar: float | None, outcome: str) -> None:
    rules = {} if bar is None else {"rerank_threshold": bar}
    verdict, _ = await verdict_on(tmp_path, PLAIN, rerank=True, **rules)
    assert verdict.match.outcome == outcome


async def test_whoever_wants_scores_has_the_service_s_kernel_and_threshold(tmp_path: Path) -> None:
    async with live_gallery_of(tmp_path, {}) as (live_gallery, _):
        assert live_gallery.reranker.threshold == DEFAULT_THRESHOLD == 0.6
    async with live_gallery_of(tmp_path, {}, overrides=["gallery.rerank_threshold=0.7"]) as (live_gallery, _):
        assert live_gallery.reranker.threshold == 0.7


@needs_compiler
async def test_a_library_of_the_users_is_asked(tmp_path: Path) -> None:
    metrics = Metrics()
    library = compiled(tmp_path, example())
    verdict, ids = await verdict_on(tmp_path, DOUBTFUL, metrics, rerank=True, rerank_library=library)
    assert [ids[one.person_id] for one in verdict.match.candidates] == ["p0", "p1"]
    assert count(metrics, "whosthere_rerank_errors_total", code="rerank_failed") == 0


@needs_compiler
async def test_where_it_fails_the_built_in_kernel_answers_and_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It passes its self-test, and can't do 50 candidates."""
    metrics = Metrics()
    library = compiled(tmp_path, example().replace("if (!count ||", "if (count == 50) return -5;\n    if (!count ||"))
    verdict, ids = await verdict_on(tmp_path, DOUBTFUL, metrics, rerank=True, rerank_library=library)
    assert [ids[one.person_id] for one in verdict.match.candidates] == ["p0", "p1"]
    assert count(metrics, "whosthere_rerank_errors_total", code="rerank_failed") == 1
    (told,) = [record for record in caplog.records if getattr(record, "code", "") == "rerank_failed"]
    assert "gave error -5 for 50 candidates; the built-in kernel does what it fails at" in told.getMessage()


@pytest.mark.parametrize("rerank", [False, True])
async def test_a_library_that_cannot_be_loaded_stops_the_start(tmp_path: Path, rerank: bool) -> None:
    (tmp_path / "rerank.so").write_text("no library")
    overrides = [f"gallery.rerank={rerank}", f"gallery.rerank_library={tmp_path / 'rerank.so'}"]
    with pytest.raises(RerankLibraryUnusable, match="can't be loaded"):
        async with live_gallery_of(tmp_path, {}, overrides=overrides):
            pass


def test_a_relative_library_belongs_to_the_config_s_folder(tmp_path: Path) -> None:
    (tmp_path / "whosthere.yaml").write_text("gallery: {rerank_library: lib/rerank.so}\n")
    assert load(tmp_path / "whosthere.yaml").gallery.rerank_library == tmp_path / "lib" / "rerank.so"
    assert load().gallery.rerank_library is None
