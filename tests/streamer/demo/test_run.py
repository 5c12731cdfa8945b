"""`whosthere demo` as a user starts it: a process of its own, its output, its exit code."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.faces import KNOWN, STRANGERS, write_film

COMMAND = [sys.executable, "-m", "streamer", "demo"]


@pytest.fixture
def run(tmp_path):
    """Starts `whosthere demo ARGUMENTS` in an empty folder; what still runs at the end is killed by pid."""
    started = []

    def start(*arguments):
        environ = {key: value for key, value in os.environ.items() if not key.startswith("WHOSTHERE_")}
        environ |= {"PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_json_summary_of_the_sample_scene(run, tmp_path):
    """Long enough for a visit that ends when the camera looks away, and a second one."""
    out, err = (process := run("--seconds", "14", "--json")).communicate(timeout=90)
    assert process.returncode == 0, err
    summary = json.loads(out)  # stdout holds this document and nothing else
    assert [person["name"] for person in summary["people"]] == ["Eileen Collins"]
    assert summary["strangers_named"] == 0
    assert summary["unknown_events"] > 0
    assert summary["events"]["new"] >= 2
    assert summary["events"]["end"] == summary["events"]["new"]
    assert summary["people"][0]["events"] + summary["unknown_events"] == sum(summary["events"].values())
    assert 0 < summary["people"][0]["first_named_s"] < summary["seconds"]
    assert summary["seconds"] >= 14
    port = re.fullmatch(r"127\.0\.0\.1:(\d+)", summary["mqtt"])[1]
    assert f"mosquitto_sub -h 127.0.0.1 -p {port} -t 'whosthere/#' -v" in err
    assert "Traceback" not in err
    assert list(tmp_path.glob("whosthere*")) == []  # what it wrote is gone


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)])
def test_a_signal_ends_it_with_the_summary(run, number):
    process = run()
    for line in process.stdout:
        if re.search(r" demo new +Eileen Collins", line):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert re.search(r" demo end +Eileen Collins", out)
    assert re.search(r"(\d+) new, \d+ update, \1 end", out)
    assert "Traceback" not in err


def test_a_signal_while_it_gets_ready(run, tmp_path):
    process = run()
    assert "getting ready" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "nobody was named" in out
    assert list(tmp_path.glob("whosthere*")) == []


def test_a_reader_that_goes_away_ends_it(run):
    process = run()
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=90)
    assert "Traceback" not in process.stderr.read()


def test_a_clip_of_ones_own_with_people_of_ones_own(run, tmp_path):
    person = tmp_path / "people" / "Grace"
    person.mkdir(parents=True)
    (person / "portrait.jpg").write_bytes(KNOWN.file.read_bytes())
    clip = write_film(tmp_path / "film.mp4", (STRANGERS, 3))
    process = run("--seconds=5", "--json", f"--source={clip}", f"--enrol={person.parent}")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert summary["people"] == []
    assert summary["strangers_named"] is None
    assert summary["unknown_events"] == sum(summary["events"].values()) > 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--set=recognition.detector=scrfd_500m"], "weights_missing"),
        (["--source=nobody.mp4"], "camera_not_found"),
        (["--enrol=nowhere"], "demo_failed"),
    ],
)
def test_what_cannot_be_started_is_one_line(run, arguments, code):
    process = run("--seconds=1", "--json", *arguments)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.rstrip().splitlines()[-1].endswith(f"[{code}]")
    assert "Traceback" not in err
