"""Every query of every panel, asked of a real Prometheus that scraped the real service: its answer moves."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.dashboards.models import GPU_ONLY
from tests.grafana.day import House, happen, house
from tests.grafana.reading import Query, boards, fill, queries
from tests.live.alerting import Alerting

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

# $__rate_interval is four times the scrape interval in Grafana; this Prometheus scrapes every second.
EVERYTHING = {"instance": ".*", "camera": ".*", "__rate_interval": "4s", "__interval": "1s", "__range": "5m"}
QUERIES = queries()


@dataclass(frozen=True, slots=True)
class Day:
    """What Prometheus keeps of it, from start_s to end_s (Unix seconds)."""

    prometheus: Alerting
    start_s: float
    end_s: float


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """The service started, all of it happened, the service stopped; Prometheus is still there to be asked."""
    folder = tmp_path_factory.mktemp("day")

    with house(folder) as at:
        start_s = time.time()
        with at.service:
            asyncio.run(live(at))
            assert at.service.stop() == 0
        asyncio.run(at.shows('ALERTS{alertname="WhosthereDown", alertstate="firing"}'))
        yield Day(at.prometheus, start_s, time.time() + 1)


async def live(at: House) -> None:
    async with asyncio.timeout(240):
        await at.service.until_ready("broker", "models", "camera street", "camera yard")
        at.prometheus.aim(at.url)
        await happen(at)


def is_run(query: Query) -> bool:
    return not any(metric in query.expr for metric in GPU_ONLY)


@pytest.mark.parametrize("query", list(filter(is_run, QUERIES)), ids=str)
def test_the_query_has_an_answer_and_it_moves(day, query):
    found = day.prometheus.over(query.filled(**EVERYTHING), day.start_s, day.end_s)
    points = [tuple(points) for _, points in found if points]
    assert points, "nothing comes back"
    values = {value for series in points for _, value in series}
    begun = {series[0][0] for series in points} | {series[-1][0] for series in points}
    if "whosthere_batch_size" not in query.expr or values != {1.0}:  # as it is on a CPU that keeps up
        assert len(values) > 1 or len(begun) > 2, f"always {values}"


@pytest.mark.parametrize("query", [query for query in QUERIES if not is_run(query)], ids=str)
def test_what_needs_a_gpu_is_at_least_understood(day, query):
    day.prometheus.over(query.filled(**EVERYTHING), day.start_s, day.end_s)


@pytest.mark.parametrize("gone", ["gone", "a\\\\.b", "x|y", ""])
def test_a_camera_that_is_gone_shows_nothing_and_breaks_nothing(day, gone):
    of_cameras = [query for query in QUERIES if "$camera" in query.expr]
    assert len(of_cameras) > 10
    for query in of_cameras:
        found = day.prometheus.over(query.filled(**EVERYTHING | {"camera": gone}), day.start_s, day.end_s)
        assert found == [], query


def test_variables_offer_what_there_is(day):
    offered = {}
    for variable in boards()["cameras.json"]["templating"]["list"][1:]:
        metric, _, label = variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
        offered[variable["name"]] = day.prometheus.labels(fill(metric, EVERYTHING), label)
    assert offered["camera"] == ["gate", "street", "yard"]
    assert len(offered["instance"]) == 1


def test_marks_of_starts_and_alerts(day):
    """Nothing starts anew in half a minute; four alerts fire, three of them are over before the service stops."""
    wanted = {"WhosthereCameraOffline", "WhosthereBrokerRefusesTopics", "WhosthereBrokerDown", "WhosthereDown"}
    for board in boards().values():
        found = [
            day.prometheus.over(fill(one["expr"], EVERYTHING), day.start_s, day.end_s)
            for one in board["annotations"]["list"]
        ]
        started, alerts = found
        assert started == []
        over = {labels["alertname"]: points[-1][0] < day.end_s - 2 for labels, points in alerts}
        assert wanted <= over.keys()
        assert {alert for alert in wanted if over[alert]} == wanted - {"WhosthereDown"}
