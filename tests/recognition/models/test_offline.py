"""Loading without a network, on real sockets of this machine: who is held back, who is not, and every real model."""

import asyncio
import os
import socket
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from recognition.errors import NetworkForbidden, WeightsMissing
from recognition.models import providers
from recognition.models.manager import ModelManager
from recognition.models.offline import keep_offline, no_network
from recognition.runtimes.onnx_runner import OnnxRunner
from recognition.specs.files import load_specs
from recognition.specs.weights import find_weights
from tests.conftest import SHARED

# The standard library closes its half-made sockets on an OSError alone; those of a refusal close when they are freed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def listener():
    """A server on loopback; accept() raises BlockingIOError where nobody has connected by now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=10).close()


def connect_ex(port: int) -> None:
    with socket.socket() as plain:
        plain.connect_ex(("127.0.0.1", port))


def send_datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(b"hello", ("127.0.0.1", port))


def send_message(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendmsg([b"hello"], [], 0, ("127.0.0.1", port))


def fetch(port: int) -> None:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/weights.onnx", timeout=10)


def open_on_a_loop(port: int) -> None:
    asyncio.run(asyncio.open_connection("127.0.0.1", port))


def in_a_thread(work: Callable[[], object]) -> object:
    """The work on a thread begun here and now, its error raised here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.mark.parametrize(
    "attempt",
    [
        connect,
        connect_ex,
        send_datagram,
        send_message,
        fetch,
        open_on_a_loop,
        lambda port: in_a_thread(lambda: connect(port)),
        lambda port: in_a_thread(lambda: in_a_thread(lambda: connect(port))),
    ],
)
def test_whatever_way_it_goes_it_is_refused(listener, attempt):
    port = port_of(listener)
    with pytest.raises(NetworkForbidden, match=rf"^model x: tried to reach 127\.0\.0\.1:{port} while.*models pull"):  # noqa: SIM117
        with no_network("model x"):
            attempt(port)
    with pytest.raises(BlockingIOError):
        listener.accept()  # nobody came
    connect(port)
    listener.accept()[0].close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: socket.getaddrinfo("models.invalid", 443),
        lambda: socket.gethostbyname("models.invalid"),
        lambda: socket.create_connection(("models.invalid", 443)),
        lambda: asyncio.run(asyncio.open_connection("models.invalid", 443)),
    ],
)
def test_no_name_is_looked_up(ask):
    with pytest.raises(NetworkForbidden, match=r"tried to reach the name of '?b?'?models\.invalid"), no_network("x"):
        ask()


def test_what_stays_on_this_machine_goes_on(tmp_path):
    with no_network("x"):
        left, right = socket.socketpair()
        left.close()
        right.close()
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(str(tmp_path / "s"))
            server.listen()
            client.connect(str(tmp_path / "s"))
        assert socket.getaddrinfo("127.0.0.1", 80)
        assert socket.getaddrinfo(b"::1", 80)
        assert socket.getaddrinfo(None, 80)


def test_other_threads_are_not_held_back(listener):
    """As cameras and the broker's client: begun before, at work while a model loads."""
    port, go, done = port_of(listener), threading.Event(), threading.Event()
    errors: list[Exception] = []

    def neighbour() -> None:
        go.wait(10)
        try:
            socket.getaddrinfo("localhost", port)
            connect(port)
        except (OSError, NetworkForbidden) as error:
            errors.append(error)
        done.set()

    thread = threading.Thread(target=neighbour)
    thread.start()
    with no_network("x"):
        go.set()
        assert done.wait(10)
    thread.join()
    assert not errors
    listener.accept()[0].close()


def test_a_thread_that_outlives_the_load_is_free_again(listener):
    with ThreadPoolExecutor(1) as pool:
        with no_network("x"):
            pool.submit(int).result()
        pool.submit(connect, port_of(listener)).result()
    listener.accept()[0].close()


def falls_back(port: int) -> str:
    """As libraries do that prefer their servers and are silent about it."""
    try:
        connect(port)
    except Exception:  # noqa: BLE001 - that is how they do it
        return "the copy in the cache"
    return "the newest one"


def test_an_attempt_that_was_caught_is_told_on_leaving(listener):
    """Nobody would know that something else was loaded."""
    with pytest.raises(NetworkForbidden, match=r"^model x: tried"), no_network("model x"):
        falls_back(port_of(listener))


def gives_up(port: int) -> None:
    try:
        connect(port)
    except NetworkForbidden as error:
        raise RuntimeError("no weights") from error


def test_an_attempt_that_was_wrapped_is_told_as_what_it_was(listener):
    with pytest.raises(NetworkForbidden) as caught, no_network("x"):
        gives_up(port_of(listener))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_other_errors_come_out_as_they_are():
    with pytest.raises(KeyError, match="ours"), no_network("x"):
        raise KeyError("ours")


def test_the_outer_load_still_holds_after_an_inner_one(listener):
    def load() -> None:
        with no_network("inner"):
            pass
        connect(port_of(listener))

    with pytest.raises(NetworkForbidden, match=r"^outer: "), no_network("outer"):
        load()


# The libraries' own switches.


def test_caches_and_switches_stand_whatever_the_user_had(monkeypatch, tmp_path):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "0")
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, "/somewhere/else")
    ModelManager([tmp_path, tmp_path / "second"])
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"
    assert os.environ["HF_DATASETS_OFFLINE"] == os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert os.environ["HF_HOME"] == str(tmp_path / ".cache" / "huggingface")
    assert os.environ["HF_HUB_CACHE"] == str(tmp_path / ".cache" / "huggingface" / "hub")
    assert os.environ["TORCH_HOME"] == str(tmp_path / ".cache" / "torch")
    assert not list(tmp_path.iterdir())  # the folder may be one that nobody may write into


def test_a_value_that_stands_is_not_written_again(monkeypatch, tmp_path):
    """setenv races with getenv in native threads: cameras may run by then."""

    class Watched(dict[str, str]):
        written = 0

        def __setitem__(self, name: str, value: str) -> None:
            self.written += 1
            super().__setitem__(name, value)

    with monkeypatch.context() as patch:
        environ = Watched(os.environ, HF_HUB_OFFLINE="0")
        patch.setattr(os, "environ", environ)
        keep_offline(tmp_path)
        before = environ.written
        keep_offline(tmp_path)
        assert environ.written == before > 0


def test_torch_hub_is_held_back_too(listener, monkeypatch, tmp_path):
    """The real library, which would fetch weights in silence: its cache lies where it should, and stays empty."""
    hub = pytest.importorskip("torch.hub")
    monkeypatch.setenv("TORCH_HOME", "/somewhere/else")
    keep_offline(tmp_path)
    with pytest.raises(NetworkForbidden), no_network("x"):
        hub.load_state_dict_from_url(f"http://127.0.0.1:{port_of(listener)}/resnet.pth", progress=False)
    assert hub.get_dir() == str(tmp_path / ".cache" / "torch" / "hub")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


# The manager.


def test_a_model_whose_loader_connects_is_refused(listener, monkeypatch):
    class Fetching(OnnxRunner):
        def __init__(self, *arguments: object) -> None:
            fetch(port_of(listener))

    monkeypatch.setattr(providers, "OnnxRunner", Fetching)
    with pytest.raises(NetworkForbidden, match=r"^model nano_embed: tried to reach 127\.0\.0\.1:"):
        ModelManager([], device="cpu").open("nano_embed")
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.fixture(params=[name for name, spec in load_specs().items() if spec.weights_digest])
def available(request) -> str:
    """A model whose weights are here."""
    try:
        find_weights(load_specs()[request.param], [SHARED / "models"])
    except WeightsMissing as error:
        pytest.skip(str(error))
    return str(request.param)


def test_every_model_loads_under_the_guard(available):
    with no_network("test"):
        assert ModelManager([SHARED / "models"], device="cpu").open(available).name == available


def test_every_model_loads_with_connect_forbidden_outright(available, monkeypatch):
    def forbidden(*_: object) -> None:
        raise AssertionError("somebody connects")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    assert ModelManager([SHARED / "models"], device="cpu").open(available).name == available
