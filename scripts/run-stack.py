"""The service with what belongs around it, on this machine without containers: `make stack`, until Ctrl-C.

    python scripts/run-stack.py --folder var-stack --prometheus-port 9091

mosquitto with a password, Prometheus with the project's alert rules, Grafana with its dashboards where a Grafana is
installed, and the service: with ./whosthere.yaml where there is one, else with two sample cameras. Each is a process of
ours on 127.0.0.1, whatever systemd runs besides; all of them end with this one. Blocks.
"""

import argparse
import ctypes
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import yaml

from recognition.errors import CodedError
from streamer.demo import scene
from streamer.settings_reading import load

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
STARTS_WITHIN_S, ENDS_WITHIN_S = 120.0, 20.0
LOG_LINES = 15
PORTS = {"mqtt": 1883, "http": 8080, "prometheus": 9090, "grafana": 3000}
PR_SET_PDEATHSIG = 1  # linux/prctl.h: should this process be killed, the others get SIGTERM


class StackError(Exception):
    """One line: what, and what to do."""


@dataclass(slots=True)
class Stack:
    """What runs, in the order of its start; `folder` holds all that it writes."""

    folder: Path
    ports: dict[str, int]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str | Path], more: Mapping[str, str] | None = None) -> None:
        """A process of its own, which Ctrl-C does not reach: its turn comes in end()."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(more or {}),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def until(self, name: str, answers: Callable[[], bool]) -> None:
        """Wait until it answers. Raises StackError where it ended, or never does."""
        until_s = time.monotonic() + STARTS_WITHIN_S
        while not answers():
            self.check()
            if time.monotonic() > until_s:
                raise StackError(f"{name} does not answer; see {self.folder / name}.log")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises StackError where one of them has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-LOG_LINES:]
                sys.stderr.write("".join(f"{name}: {line}\n" for line in lines))
                raise StackError(f"{name} has ended with {process.returncode}; its last lines are above")

    def end(self) -> None:
        """All of them, by their pids, the newest first."""
        for name, process in reversed(self.running.items()):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(ENDS_WITHIN_S)
                except subprocess.TimeoutExpired:
                    note(f"{name} did not end within {ENDS_WITHIN_S:g} s and is killed")
                    process.kill()
                    process.wait()


def note(text: str) -> None:
    sys.stderr.write(text + "\n")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wanted_port(name: str, asked: int | None) -> int:
    """The one that was asked for, or the usual one; 0: any that is free. Raises StackError where it is in use."""
    port = PORTS[name] if asked is None else asked
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StackError(
                f"port {port}, for {name}, can't be had ({error.strerror}); end what listens there "
                f"(ss -ltnp 'sport = :{port}'), or choose another: make stack ARGS=\"--{name}-port {port + 1}\""
            ) from None
        return int(probe.getsockname()[1])


def program(*names: str) -> str | None:
    """The first of these programs that is installed, also where Debian puts daemons."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/share/grafana/bin"))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def answers(address: str) -> Callable[[], bool]:
    """Whether HTTP there says that all is well."""

    def asked() -> bool:
        with suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:  # URLError is one of these
            return bool(answer.status == 200)
        return False

    return asked


def private(path: Path, text: str) -> Path:
    """For this user alone."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    path.chmod(0o600)
    return path


def password_of(folder: Path) -> str:
    """The broker's: drawn once."""
    file = folder / "mqtt-password"
    if not file.exists():
        private(file, secrets.token_urlsafe(18) + "\n")
    return file.read_text().strip()


def broker(stack: Stack, mosquitto: str, password: str) -> None:
    users = private(stack.folder / "mosquitto.passwd", f"whosthere:{password}\n")
    hashing = program("mosquitto_passwd")
    if hashing is None:
        raise StackError("mosquitto_passwd is missing; install the package mosquitto")
    subprocess.run([hashing, "-U", users], check=True, capture_output=True)
    lines = [
        f"listener {stack.ports['mqtt']} {HOST}",
        "allow_anonymous false",
        f"password_file {users}",
        "persistence true",
        f"persistence_location {stack.folder}/",
        *(["user root"] if os.geteuid() == 0 else []),  # or it would give up the right to read its own files
    ]
    config = private(stack.folder / "mosquitto.conf", "\n".join(lines) + "\n")
    stack.start("mosquitto", [mosquitto, "-c", config])

    def listens() -> bool:
        with suppress(OSError), socket.create_connection((HOST, stack.ports["mqtt"]), timeout=1):
            return True
        return False

    stack.until("mosquitto", listens)


def sample(stack: Stack, whosthere: Sequence[str], password: str) -> Path:
    """A configuration with two cameras of the demo's scene, and the one who can be named in it, enrolled."""
    folder = stack.folder
    cameras = {name: {"url": "scene.mp4", "loop": True, "fps": 5} for name in ("door", "hall")}
    mqtt = {"host": HOST, "port": stack.ports["mqtt"], "username": "whosthere", "password": password}
    http = {"host": HOST, "port": stack.ports["http"]}
    document = {"paths": {"data": "data"}, "mqtt": mqtt, "http": http, "cameras": cameras}
    config = private(folder / "whosthere.yaml", yaml.safe_dump(document, sort_keys=False))
    if not (folder / "scene.mp4").exists():
        note("drawing the sample scene")
        scene.render(folder / "scene.new.mp4", threading.Event())
        (folder / "scene.new.mp4").rename(folder / "scene.mp4")
    if not (folder / "data" / "gallery.db").exists():
        note(f"enrolling {scene.PERSON}")
        photos = scene.write_stills(folder)
        enrol = [*whosthere, "enrol", scene.PERSON, *map(str, photos), "--config", str(config)]
        subprocess.run(enrol, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return config


def prometheus(stack: Stack, binary: str) -> None:
    """The project's own configuration, pointed at the service's port."""
    shipped = PROJECT / "configs" / "prometheus" / "prometheus.yml"
    document = yaml.safe_load(shipped.read_text())
    document["rule_files"] = [str(shipped.parent / file) for file in document.get("rule_files", [])]
    document["global"] = {"scrape_interval": "5s", "evaluation_interval": "5s"}  # somebody looks
    for job in document["scrape_configs"]:
        if job["job_name"] == "whosthere":
            job["static_configs"] = [{"targets": [f"{HOST}:{stack.ports['http']}"]}]
    document["scrape_configs"] = [job for job in document["scrape_configs"] if job["job_name"] == "whosthere"]
    config = stack.folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    address = f"{HOST}:{stack.ports['prometheus']}"
    data = f"--storage.tsdb.path={stack.folder / 'prometheus'}"
    stack.start("prometheus", [binary, f"--config.file={config}", data, f"--web.listen-address={address}"])
    stack.until("prometheus", answers(f"http://{address}/-/ready"))


def grafana(stack: Stack, binary: str) -> None:
    """With the project's dashboards and this Prometheus, for whoever looks without a login."""
    provisioning, shipped = stack.folder / "grafana-provisioning", PROJECT / "configs" / "grafana"
    shutil.copytree(shipped / "provisioning", provisioning, dirs_exist_ok=True)
    for file in (provisioning / "dashboards").glob("*.yaml"):
        document = yaml.safe_load(file.read_text())
        for provider in document["providers"]:
            provider["options"]["path"] = str(shipped)
        file.write_text(yaml.safe_dump(document))
    home = next(
        (
            place
            for place in (Path("/usr/share/grafana"), Path(binary).resolve().parents[1])
            if (place / "public").is_dir()
        ),
        None,
    )
    server = [binary] if Path(binary).name == "grafana-server" else [binary, "server"]
    settings = {
        "PROMETHEUS_URL": f"http://{HOST}:{stack.ports['prometheus']}",
        "GF_SERVER_HTTP_ADDR": HOST,
        "GF_SERVER_HTTP_PORT": str(stack.ports["grafana"]),
        "GF_PATHS_DATA": str(stack.folder / "grafana"),
        "GF_PATHS_LOGS": str(stack.folder / "grafana"),
        "GF_PATHS_PLUGINS": str(stack.folder / "grafana" / "plugins"),
        "GF_PATHS_PROVISIONING": str(provisioning),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    }
    stack.start("grafana", [*server, *([f"--homepath={home}"] if home else [])], settings)
    stack.until("grafana", answers(f"http://{HOST}:{stack.ports['grafana']}/api/health"))


def where(stack: Stack, config: Path) -> str:
    """Where to look, and what to type."""
    web, folder = f"http://{HOST}:{stack.ports['http']}", stack.folder
    beside = Path(sys.executable).with_name("whosthere")  # it may be in no folder of PATH
    told = f"{shlex.quote(str(beside) if beside.exists() else 'whosthere')} --config {shlex.quote(str(config))}"
    rows = [
        ("service", f"{web}/", f"{web}/readyz  {web}/metrics"),
        ("broker", f"mqtt://{HOST}:{stack.ports['mqtt']}", f"user whosthere, password in {folder / 'mqtt-password'}"),
        ("Prometheus", f"http://{HOST}:{stack.ports['prometheus']}/", "targets: /targets  alerts: /alerts"),
    ]
    if "grafana" in stack.running:
        rows.append(("Grafana", f"http://{HOST}:{stack.ports['grafana']}/dashboards", "no login is asked for"))
    else:
        rows.append(("Grafana", "-", "no grafana or grafana-server here: docs/grafana.md"))
    listen = f'mosquitto_sub -h {HOST} -p {stack.ports["mqtt"]} -u whosthere -P "$(cat {folder / "mqtt-password"})"'
    lines = [f"{name:<11} {address:<32} {more}" for name, address, more in rows]
    to_stack = [] if config.is_relative_to(folder) else [f"  set -a; . {shlex.quote(str(folder / 'env'))}; set +a"]
    lines += [
        "",
        "first commands:",
        *to_stack,
        f"  {told} doctor",
        f"  {told} tokens make me --role admin",
        f"  {told} people list",
    ]
    lines += [f"  {listen} -t 'whosthere/#' -v", "", f"logs and data: {folder}; Ctrl-C ends all of it"]
    return "\n".join(lines) + "\n"


def run(options: argparse.Namespace) -> None:
    """Raises StackError."""
    mosquitto, binary = program("mosquitto"), program("prometheus")
    if mosquitto is None or binary is None:
        raise StackError("mosquitto or prometheus is missing: scripts/install-debian-packages.sh stack")
    found = program("grafana", "grafana-server")
    used = [name for name in PORTS if name != "grafana" or found]
    ports = {name: wanted_port(name, getattr(options, f"{name}_port")) for name in used}
    folder = options.folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stack, password = Stack(folder, ports), password_of(folder)
    whosthere = [sys.executable, "-m", "streamer"]
    own = Path("whosthere.yaml").absolute()
    try:
        broker(stack, mosquitto, password)
        more, config = (
            (_in_place_of(own, stack, password), own) if own.exists() else ({}, sample(stack, whosthere, password))
        )
        stack.start("service", [*whosthere, "serve", "--config", config], more)
        # Of somebody's own cameras one may be off: then it lives, and is not ready.
        stack.until("service", answers(f"http://{HOST}:{ports['http']}/{'healthz' if own.exists() else 'readyz'}"))
        prometheus(stack, binary)
        if found:
            grafana(stack, found)
        sys.stdout.write(where(stack, config))
        sys.stdout.flush()
        while True:
            stack.check()
            time.sleep(0.5)
    finally:
        stack.end()


def _in_place_of(config: Path, stack: Stack, password: str) -> dict[str, str]:
    """What lies over somebody's own configuration, and in a file for commands. Raises StackError where it is none."""
    note(f"with {config}; its broker and HTTP address are those of the stack")
    ports = stack.ports
    over = {
        "WHOSTHERE_MQTT__HOST": HOST,
        "WHOSTHERE_MQTT__PORT": str(ports["mqtt"]),
        "WHOSTHERE_MQTT__USERNAME": "whosthere",
        "WHOSTHERE_MQTT__PASSWORD": password,
        "WHOSTHERE_HTTP__ENABLED": "true",
        "WHOSTHERE_HTTP__TLS": "null",
        "WHOSTHERE_HTTP__HOST": HOST,
        "WHOSTHERE_HTTP__PORT": str(ports["http"]),
    }
    try:
        settings = load(config, environ=os.environ | over)
    except CodedError as error:
        raise StackError(f"{error} [{error.code}]") from None
    if settings.mqtt.tls is not None:
        raise StackError(f"{config} has mqtt.tls, and the stack's broker speaks none; try it with a copy without that")
    private(stack.folder / "env", "".join(f"{name}={shlex.quote(value)}\n" for name, value in over.items()))
    return over


def main() -> int:
    parser = argparse.ArgumentParser(description="whosthere, mosquitto, Prometheus and Grafana on this machine")
    parser.add_argument("--folder", type=Path, default=Path("var-stack"), help="for all that it writes")
    for name, port in PORTS.items():
        parser.add_argument(f"--{name}-port", type=int, help=f"default {port}; 0: any free one", metavar="PORT")

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT, too: a shell that starts it aside has it ignored
        signal.signal(number, stop)
    try:
        run(parser.parse_args())
    except StackError as error:
        note(f"stack: {error}")
        return 1
    except (subprocess.CalledProcessError, CodedError) as error:
        note(f"stack: {error}")
        return 1
    except KeyboardInterrupt:
        note("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
