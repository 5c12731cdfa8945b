"""What a kept visit costs is measured on visits that were really kept."""

from streamer.bench.visits.run import run_visits
from streamer.settings_reading import load
from tests.faces import KNOWN, STRANGERS, write_film


async def test_each_visit_of_a_film_is_counted_and_costs_something(tmp_path):
    film = write_film(tmp_path / "film.mp4", ([KNOWN, STRANGERS[0]], 2))
    said: list[str] = []
    settings = load(overrides=[f"paths.data={tmp_path / 'never'}", "recognition.device=cpu"])
    document = await run_visits(settings, film, tmp_path, 4.0, said.append)
    cost = document["kept_visits"]
    assert cost["visits"] >= 2
    assert cost["cpu_ms"] > cost["loop_cpu_ms"] > 0
    assert cost["loop_longest_ms"] > 0
    assert 5 < cost["kib"] < 500
    assert not (tmp_path / "never").exists()
    assert said == ["kept visits: one camera at 10 fps for 4 s"]
