"""What tests share: where the shared weights, faces and clips lie, and free ports."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.process import limit_heaps
from streamer.telemetry.logs import ServiceHandler

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"

# Files that take more than half a minute: they would keep one process busy when the other has nothing left to do.
LONG = ("test_convert.py", "test_model_layer.py", "test_run.py", "test_torch_runner.py")

# Live tests that wait for streams and limits nearly all of their time: five at once take no more than one processor.
# What is emulated runs beside them, and takes the other one.
WAITING = frozenset(
    f"test_{name}.py"
    for name in (
        *("logins", "lossy_networks", "mjpeg", "odd_timestamps", "published_faults", "reconnects"),
        *("refusals", "rtsp", "rtsp_ingest", "supervision", "triton"),
    )
)

# The models of tests whose subject is other people's faces; their weights lie in ../shared/models.
LARGER = {"detector": "scrfd_500m", "embedder": "arcface_w600k_mbf"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--waiting",
        choices=("all", "only", "without"),
        default="all",
        help="of those that wait (and what is beside them): all, they alone, none",
    )
    parser.addoption("--thorough", action="store_true", help="run what `thorough` marks, too, and outages of 30 s")


def pytest_configure() -> None:
    """As the service does: with a heap for each of hundreds of threads a process of tests kept a third more memory."""
    limit_heaps()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that would be left out are not even imported."""
    waiting = config.getoption("--waiting")
    if waiting == "all" or collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    return None if _waits(collection_path) == (waiting == "only") else True


@pytest.hookimpl(tryfirst=True)  # pytest-xdist looks at groups in the same hook: none was known to it that came later
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A file stays in one process, where there are several, and makes once what it shares: the longest first, who
    needs both cores last. Live ones are long, and would be waited for at the end.
    """
    waiting, thorough = config.getoption("--waiting"), config.getoption("--thorough")
    wanted, left_out = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        is_wanted = waiting == "all" or _waits(item.path) == (waiting == "only")
        is_wanted = is_wanted and (thorough or not item.get_closest_marker("thorough"))
        (wanted if is_wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = wanted
    for item in items:
        group = item.nodeid if waiting == "only" else item.nodeid.partition("::")[0]
        if item.get_closest_marker("emulated"):
            group = "emulated"
        if "discover" in item.path.parent.name or item.path.name == "test_discover.py":
            group = "discovery"  # by multicast: two processes would find each other's cameras
        if item.get_closest_marker("both_cores"):
            group = "both cores"
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_turn)


def _waits(file: Path) -> bool:
    return (file.name in WAITING and file.parent.name == "live") or file.parent.name == "emulated"


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("both_cores"):
        return 3
    if item.get_closest_marker("live"):
        return 1
    return 0 if item.get_closest_marker("emulated") or item.path.name in LONG else 2


@pytest.fixture(scope="session")
def shared() -> Path:
    """Larger weights, other people's faces and clips; skips where they are missing, fails where CI needs them."""
    if not (SHARED / "models").is_dir():
        if os.environ.get("CI"):
            pytest.fail("../shared is missing, and in CI it must be there")
        pytest.skip("needs ../shared (weights, faces and clips), which is not beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands set up the process's logging, on a stderr that is closed by the next test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if isinstance(handler, ServiceHandler)]:
        root.removeHandler(handler)
    logging.captureWarnings(False)


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: on busy machines its threads wait for each other more than they work."""
    torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
