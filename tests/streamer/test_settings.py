"""Settings from files, variables and overrides: what they become, and the one line that each mistake gets."""

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from streamer.errors import (
    CameraVariableUnset,
    ConfigError,
    ConfigInvalid,
    ConfigMissing,
    ConfigUnknownKey,
    ConfigUnreadable,
)
from streamer.settings import CameraSettings, Settings
from streamer.settings_layers import read_yaml
from streamer.settings_reading import config_folder, load
from streamer.variables import expand_url
from tests.conftest import PROJECT

SECRET = "hunter2"

# From the interfaces document: "This must work as it stands".
INTERFACES_EXAMPLE = """\
paths: {models: [model/artifacts, ../shared/models], data: var}   # data: gallery, outbox
recognition: {detector: scrfd_500m, embedder: arcface_w600k_mbf}
mqtt: {host: 127.0.0.1, port: 1883, topic_prefix: whosthere}
http: {host: 127.0.0.1, port: 8080}
cameras:
  door: {url: "rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264", transport: tcp, fps: 10}
  hall: {url: "clips/hall.mp4", fps: 10, pace: realtime, loop: true, enabled: true}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder of the test: empty, and other than the config file's."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def config(tmp_path):
    """Writes a config file in a folder of its own and gives its path."""

    def write(text: str | bytes) -> Path:
        file = tmp_path / "site" / "cams.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return write


def refusal(kind: type[ConfigError], path: Path | None, *overrides: str, **environ: str) -> str:
    """The message of the error that load() raises: one line, and its whole traceback without the secret."""
    with pytest.raises(kind) as caught:
        load(path, overrides, environ)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return message


def test_the_example_of_the_interfaces_document_loads(config, tmp_path):
    settings = load(config(INTERFACES_EXAMPLE), environ={})

    site = tmp_path / "site"
    assert settings.paths.models == (site / "model/artifacts", site / "../shared/models")
    assert settings.gallery_path == site / "var/gallery.db"
    assert settings.outbox_path == site / "var/outbox.db"
    assert settings.recognition.embedder == "arcface_w600k_mbf"
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.topic_prefix) == ("127.0.0.1", 1883, "whosthere")
    assert list(settings.cameras) == ["door", "hall"]
    assert settings.cameras["door"].url == "rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264"
    assert settings.cameras["hall"].url == str(site / "clips/hall.mp4")
    assert settings.cameras["hall"].loop


def test_the_shipped_default_loads_and_its_paths_belong_to_the_current_folder(folder):
    settings = load(environ={})

    assert settings.paths.data == folder / "var"
    assert settings.paths.models == (folder / "model/artifacts",)
    assert settings.cameras == {}
    assert (config_folder() / "default.yaml").is_file()


def test_the_shipped_default_says_nothing_but_the_defaults():
    shipped = Settings.model_validate(read_yaml(config_folder() / "default.yaml"))

    assert shipped == Settings()


def test_whosthere_yaml_in_the_current_folder_is_found(folder):
    (folder / "whosthere.yaml").write_text("http: {port: 8081}\n")

    settings = load(environ={})

    assert settings.http.port == 8081
    assert settings.paths.data == folder / "var"


UNREADABLE = """
import os, sys
from streamer.errors import ConfigError
from streamer.settings_reading import load
{harm}
try:
    load(environ={{}})
except ConfigError as error:
    print(error.code, error)
"""
AS_NOBODY = "os.getuid() or os.setuid(65534)"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            f"os.chmod('.', 0); {AS_NOBODY}",
            "config_missing can't look for whosthere.yaml in the current folder (Permission denied); start in another",
        ),
        (
            f"os.chmod('.', 0o644); {AS_NOBODY}",
            "config_missing can't look for whosthere.yaml in the current folder (Permission denied); start in another",
        ),
        ("os.rmdir(os.getcwd())", "config_missing the current folder can't be read (No such file or directory); start"),
        (
            "os.symlink('whosthere.yaml', 'whosthere.yaml')",
            "config_missing can't look for whosthere.yaml in the current",
        ),
    ],
)
def test_a_current_folder_that_can_not_be_read_is_told_in_one_line(tmp_path, harm, message):
    """As another user would see it: root may read everything."""
    here = tmp_path / "closed"
    here.mkdir()
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    program = [sys.executable, "-c", UNREADABLE.format(harm=harm)]
    ended = subprocess.run(program, cwd=here, env=env, capture_output=True, text=True, timeout=60)
    if here.exists():
        here.chmod(0o755)
    assert ended.stdout.startswith(message), ended
    assert ended.stdout.count("\n") == 1


def test_default_paths_belong_to_the_config_file_too(config, tmp_path):
    settings = load(config("http: {port: 8081}"), environ={})

    assert settings.paths.data == tmp_path / "site/var"
    assert settings.paths.models == (tmp_path / "site/model/artifacts",)


def test_sections_without_content_keep_their_defaults(config):
    settings = load(config("cameras:\nmqtt:\n"), environ={})

    assert settings.cameras == {}
    assert settings.mqtt.port == 1883


def test_variables_go_over_the_file_and_overrides_over_both(config):
    file = config("mqtt: {host: a, port: 1, topic_prefix: file}")

    settings = load(
        file, ["mqtt.host=c"], {"WHOSTHERE_MQTT__HOST": "b", "WHOSTHERE_MQTT__PORT": "2", "WHOSTHERE_X": "1"}
    )

    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.topic_prefix) == ("c", 2, "file")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("WHOSTHERE_PATHS__MODELS", '["a", "/b"]', lambda s, here: s.paths.models == (here / "a", Path("/b"))),
        ("WHOSTHERE_PATHS__DATA", "d", lambda s, here: s.paths.data == here / "d"),
        ("WHOSTHERE_HTTP__ENABLED", "false", lambda s, _: s.http.enabled is False),
        ("WHOSTHERE_GALLERY__THRESHOLD", "null", lambda s, _: s.gallery.threshold is None),
        ("WHOSTHERE_GALLERY__ENROL__MIN_QUALITY", "0.5", lambda s, _: s.gallery.enrol.min_quality == 0.5),
        ("WHOSTHERE_CAMERAS__DOOR__FPS", "5", lambda s, _: s.cameras["door"].fps == 5.0),
        ("WHOSTHERE_MQTT__PASSWORD", "[no json", lambda s, _: s.mqtt.password.get_secret_value() == "[no json"),
    ],
)
def test_a_variable_sets(config, folder, name, text, expected):
    file = config("gallery: {threshold: 0.4}\ncameras: {door: {url: a.mp4}}")

    assert expected(load(file, environ={name: text}), folder)


def test_a_whole_camera_in_a_variable_is_refined_by_longer_names(config):
    environ = {
        "WHOSTHERE_CAMERAS__DOOR__FPS": "5",
        "WHOSTHERE_CAMERAS__DOOR": '{"url": "rtsp://192.0.2.9/a", "fps": 1, "loop": true}',
    }

    camera = load(config(""), environ=environ).cameras["door"]

    assert (camera.url, camera.fps, camera.loop) == ("rtsp://192.0.2.9/a", 5.0, True)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("http.port=0", lambda s, _: s.http.port == 0),
        ("paths.models=[a, b]", lambda s, here: s.paths.models == (here / "a", here / "b")),
        ("gallery.threshold=null", lambda s, _: s.gallery.threshold is None),
        ("cameras.door.url=b.mp4", lambda s, here: s.cameras["door"].url == str(here / "b.mp4")),
        ("cameras.new={url: 'usb:0'}", lambda s, _: s.cameras["new"].url == "usb:0"),
        ("cameras.new={url: '${CLIP}/a.mp4'}", lambda s, _: s.cameras["new"].url == "${CLIP}/a.mp4"),
        ("cameras.new={url: /dev/video0}", lambda s, _: s.cameras["new"].url == "/dev/video0"),
        ("cameras.door.url=rtsp://h/a=b", lambda s, _: s.cameras["door"].url == "rtsp://h/a=b"),
    ],
)
def test_an_override_sets(config, folder, override, expected):
    file = config("gallery: {threshold: 0.4}\ncameras: {door: {url: a.mp4}}")

    assert expected(load(file, [override], {}), folder)


def test_a_home_folder_is_expanded(config, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert load(config("paths: {data: ~/faces}"), environ={}).paths.data == tmp_path / "faces"


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("camera: {}", "camera", "cameras"),
        ("mqtt: {hots: a}", "mqtt.hots", "host"),
        ("cameras: {door: {url: a, fsp: 3}}", "cameras.door.fsp", "fps"),
        ("cameras: {fps: {url: a, lop: true}}", "cameras.fps.lop", "loop"),
        ("gallery: {enrol: {min_face: 3}}", "gallery.enrol.min_face", "min_face_px"),
        (f"mqtt: {{pasword: {SECRET}}}", "mqtt.pasword", "password"),
    ],
)
def test_an_unknown_key_names_the_nearest(config, text, key, nearest):
    file = config(text)

    assert refusal(ConfigUnknownKey, file) == f"{key}: unknown key (config {file}); did you mean {nearest}?"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port: 1", "port: unknown key (config {}); did you mean mqtt.port or http.port or ingest.rtsp.port?"),
        ("log_level: debug", "log_level: unknown key (config {}); did you mean service.log_level?"),
        ("fps: 5", "fps: unknown key (config {}); did you mean cameras.<name>.fps?"),
        ("ingest: {port: 1}", "ingest.port: unknown key (config {}); did you mean ingest.rtsp.port?"),
        ("zzz: 1", "zzz: unknown key (config {}); there are service, paths, cameras, recognition, "),
        ("mqtt: {url: x}", "mqtt.url: unknown key (config {}); there are host, port, tls, username, "),
        ("metrics: {x: 1}", "metrics.x: unknown key (config {}); there are loop_lag_interval_s"),
    ],
)
def test_where_no_key_of_the_section_is_near_those_are_named_that_there_are(config, text, told):
    file = config(text)

    assert refusal(ConfigUnknownKey, file).startswith(told.format(file))


def test_an_unknown_key_says_where_it_was_set(config):
    file = config("")

    assert "(variable WHOSTHERE_HTTP__PROT); did you mean port?" in refusal(
        ConfigUnknownKey, file, WHOSTHERE_HTTP__PROT="1"
    )
    assert "(--set http.prot); did you mean port?" in refusal(ConfigUnknownKey, file, "http.prot=1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http: {port: many}", "http.port: want a whole number, got 'many'"),
        ("http: {port: 70000}", "http.port: input should be less than or equal to 65535, got 70000"),
        (
            "recognition: {device: tpu}",
            "recognition.device: want auto, cpu, cuda or cuda:N, N the number of a GPU, from 0 on, got 'tpu'",
        ),
        ("recognition: {device: 'cuda:-1'}", "recognition.device: want auto, cpu, cuda or cuda:N, .*got 'cuda:-1'"),
        ("cameras: {door: {fps: 3}}", "cameras.door.url: is missing; add it"),
        ("cameras: {door: {url: 3}}", "cameras.door.url: want text; put the value in quotes"),
        ("cameras: {Door: {url: a}}", "cameras.Door: a camera's name is made of a-z"),
        ("cameras: {'a/b': {url: a}}", "cameras.a/b: a camera's name is made of a-z"),
        ("cameras: {7: {url: a}}", "cameras.7: a camera's name is made of a-z"),
        ("cameras: {door: {url: 'publish://'}}", "cameras.door: the url publish:// needs a password, like password: "),
        ("cameras: {door: {url: 'publish://', password: ''}}", "cameras.door: the url publish:// needs a password"),
        ("cameras: {door: {url: 'publish://', user: 'a:b', password: word}}", "cameras.door: a user who publishes"),
        ("cameras: {door: {url: 'publish://door', password: word}}", "cameras.door: .* publish:// and nothing more"),
        ("cameras: [a]", "cameras: want a section"),
        (f"cameras: {{door: 'rtsp://u:{SECRET}@h/a'}}", "cameras.door: want a section"),
        (f"mqtt: {SECRET}", "mqtt: want a section"),
        ("mqtt: {password: 12345}", r"mqtt.password: want text; put the value in quotes \(config"),
        ("mqtt: {topic_prefix: 'a/#'}", "mqtt.topic_prefix: .*got 'a/#'"),
        ("paths: {models: model}", "paths.models: want a list"),
        ("paths: {data: [a]}", "paths.data: "),
        ("- a\n- b", "want sections such as `cameras:` at the top, got list"),
        (f"cameras: {SECRET}", "cameras: want a section"),
        ("mqtt: {1: a}", "mqtt.1: unknown key"),
        ("on: {}", "True: unknown key"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(config, text, message):
    file = config(text)

    kind = ConfigUnknownKey if "unknown" in message else ConfigInvalid
    said = refusal(kind, file)

    assert re.match(f"(config .*: )?({message})", said)
    assert str(file) in said


def test_a_wrong_value_says_which_layer_it_is_from(config):
    file = config("http: {port: 1}")

    assert refusal(ConfigInvalid, file, WHOSTHERE_HTTP__PORT="x").endswith("(variable WHOSTHERE_HTTP__PORT)")
    assert refusal(ConfigInvalid, file, "http.port=x").endswith("(--set http.port)")
    assert "write lists as JSON" in refusal(ConfigInvalid, file, WHOSTHERE_PATHS__MODELS="[a, b")
    assert "as JSON" in refusal(ConfigInvalid, file, WHOSTHERE_PATHS__MODELS="a,b")
    assert "keep one" in refusal(ConfigInvalid, file, WHOSTHERE_MQTT__HOST="a", WHOSTHERE_MQTT__HOST__NAME=SECRET)
    assert refusal(ConfigInvalid, file, "http.port") == "--set http.port: want section.key=value"
    assert "quote it" in refusal(ConfigInvalid, file, f"mqtt.password=*{SECRET}")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("mqtt: {host: a\nhttp: {}\n", "line 2"),
        ("mqtt:\n  host: a\n bad\n", "line 3"),
        ("mqtt:\n\thost: a\n", "line 2, column 1"),
        (f"mqtt:\n  password: *{SECRET}\n", "line 2, column 13"),
        (f"mqtt:\n  password: !{SECRET}\n", "line 2, column 13"),
        (f"mqtt:\n  password: '{SECRET}\n", "line 3"),
        ("mqtt: {host: 2025-99-99}", "quote it"),
        (b"mqtt: {host: \xff}", "not UTF-8"),
    ],
)
def test_bad_yaml_is_refused_with_its_line(config, text, where):
    file = config(text)

    message = refusal(ConfigUnreadable, file)

    assert message.startswith(f"config {file}")
    assert where in message


def test_a_missing_file_is_named(tmp_path):
    assert f"{tmp_path}/no.yaml can't be read (No such file" in refusal(ConfigMissing, tmp_path / "no.yaml")
    assert "Is a directory" in refusal(ConfigMissing, tmp_path)


def test_variables_in_a_url_are_percent_encoded():
    url = "rtsp://${CAM_USER}:${CAM_PASSWORD}@192.0.2.9/h264?x=$x"

    opened = expand_url(CameraSettings(url=url).url, {"CAM_USER": "gate", "CAM_PASSWORD": "p@ss/w:rd %?#é"})

    assert opened == "rtsp://gate:p%40ss%2Fw%3Ard%20%25%3F%23%C3%A9@192.0.2.9/h264?x=$x"


def test_a_variable_that_holds_the_url_or_the_file_is_taken_as_it_is(config):
    camera = load(config("cameras: {door: {url: '${WHERE}'}}"), environ={}).cameras["door"]

    assert expand_url(camera.url, {"WHERE": "rtsp://u:p@192.0.2.9/a?b=c"}) == "rtsp://u:p@192.0.2.9/a?b=c"
    assert expand_url(camera.url, {"WHERE": "/clips/a b.mp4"}) == "/clips/a b.mp4"


def test_a_value_is_not_expanded_again():
    assert expand_url("${A}", {"A": "${B}", "B": "no"}) == "${B}"


def test_a_variable_may_lie_in_a_file(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\r\n")

    assert expand_url("rtsp://a:${PW}@h", {"PW_FILE": str(tmp_path / "secret")}) == f"rtsp://a:{SECRET}@h"
    assert expand_url("rtsp://a:${PW}@h", {"PW_FILE": "/nowhere", "PW": "b"}) == "rtsp://a:b@h"


def test_an_unset_variable_is_the_cameras_error_when_it_is_opened(config):
    camera = load(config(INTERFACES_EXAMPLE), environ={}).cameras["door"]

    with pytest.raises(CameraVariableUnset, match="variable CAM_PASSWORD is not set; set it, or CAM_PASSWORD_FILE"):
        expand_url(camera.url, {"CAM_USER": "gate"})
    with pytest.raises(CameraVariableUnset, match=r"CAM_USER_FILE: /nowhere can't be read \(No such file"):
        expand_url(camera.url, {"CAM_USER_FILE": "/nowhere"})


def test_the_brokers_login_is_expanded_at_load(config, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    file = config("mqtt: {username: '${WHO}', password: '${PW}'}")

    settings = load(file, environ={"WHO": "gate", "PW_FILE": str(tmp_path / "secret")})

    assert settings.mqtt.username == "gate"
    assert settings.mqtt.password is not None
    assert settings.mqtt.password.get_secret_value() == SECRET
    assert "mqtt.password: variable PW is not set" in refusal(ConfigInvalid, file, WHO="gate")
    both = refusal(ConfigInvalid, file)
    assert "mqtt.username: variable WHO is not set" in both
    assert "mqtt.password: variable PW is not set" in both


def test_no_repr_shows_a_secret(config):
    file = config(
        f"mqtt: {{username: a, password: {SECRET}}}\ncameras: {{door: {{url: 'rtsp://a:{SECRET}@192.0.2.9/a'}}}}"
    )

    settings = load(file, environ={})

    assert settings.cameras["door"].url == f"rtsp://a:{SECRET}@192.0.2.9/a"
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.cameras)
    assert SECRET not in str(settings.mqtt)


def test_the_tree_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Settings().http.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "version"), [("", "auto"), ("5", "5"), ('"5"', "5"), ("3.1.1", "3.1.1"), ("auto", "auto")]
)
def test_the_version_of_mqtt_may_be_written_as_it_comes(tmp_path, written, version):
    file = tmp_path / "whosthere.yaml"
    file.write_text(f"mqtt: {{version: {written}}}\n" if written else "mqtt: {}\n")
    assert load(file, environ={}).mqtt.version == version
    if written:
        assert load(environ={"WHOSTHERE_MQTT__VERSION": written.strip('"')}).mqtt.version == version


@pytest.mark.parametrize("written", ["4", "3.1", "latest", "5.5"])
def test_another_version_of_mqtt_is_refused(tmp_path, written):
    file = tmp_path / "whosthere.yaml"
    file.write_text(f"mqtt: {{version: {written}}}\n")
    with pytest.raises(ConfigInvalid, match=r"mqtt\.version: .*'auto', '5' or '3\.1\.1'"):
        load(file, environ={})


def test_a_certificate_lies_beside_the_file_that_names_it(config, folder):
    file = config("http: {tls: {cert: tls/own.pem, key: /etc/own.key}}")
    tls = load(file, environ={}).http.tls
    assert tls is not None
    assert (tls.cert, tls.key) == (file.parent / "tls" / "own.pem", Path("/etc/own.key"))
    for environ in (
        {"WHOSTHERE_HTTP__TLS": '{"cert": "a.pem", "key": "b.key"}'},
        {"WHOSTHERE_HTTP__TLS__CERT": "a.pem", "WHOSTHERE_HTTP__TLS__KEY": "b.key"},
    ):
        tls = load(file, environ=environ).http.tls
        assert tls is not None
        assert (tls.cert, tls.key) == (folder / "a.pem", folder / "b.key"), "of a variable: the current folder"
    assert load(file, ["http.tls=null"], {}).http.tls is None


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        ("{cert: a.pem}", "http.tls.key: is missing; add it"),
        ("a.pem", "http.tls: want a section"),
        ("{cert: a.pem, key: b, ca: c}", "there are cert, key"),
    ],
)
def test_half_a_certificate_is_refused(config, tls, message):
    kind = ConfigUnknownKey if "there are" in message else ConfigInvalid
    assert message in refusal(kind, config(f"http: {{tls: {tls}}}"))


@pytest.mark.parametrize("proxies", ["['192.0.2.1', '10.0.0.0/8', '2001:db8::/64']", "[]"])
def test_proxies_are_addresses_and_networks(config, proxies):
    assert list(load(config(f"http: {{trusted_proxies: {proxies}}}"), environ={}).http.trusted_proxies) == eval(proxies)


@pytest.mark.parametrize("proxy", ["proxy.local", "10.0.0.1/8", "", "*", "0.0.0.0/0", "::/0", "192.0.2.1:80"])
def test_what_is_no_proxys_address_is_refused(config, proxy):
    told = refusal(ConfigInvalid, config(f"http: {{trusted_proxies: ['{proxy}']}}"))
    assert told.startswith("http.trusted_proxies.0: ")


def test_the_key_lies_beside_the_data_unless_told_otherwise(config, folder):
    site = config("{}").parent
    assert load(config("{}"), environ={}).paths.key_folder == site / "var-keys"
    assert load(config("paths: {data: ../gallery/}"), environ={}).paths.key_folder == site.parent / "gallery-keys"
    assert load(config("paths: {keys: k}"), environ={}).paths.key_folder == site / "k"
    assert load(config("paths: {keys: k}"), environ={"WHOSTHERE_PATHS__KEYS": "k"}).paths.key_folder == folder / "k"


@pytest.mark.parametrize("keys", ["var", "var/keys", "./var/../var/a/b", "link/keys"])
def test_a_key_inside_the_data_is_refused(config, keys):
    file = config(f"paths: {{keys: {keys}}}")
    (file.parent / "var").mkdir()
    (file.parent / "link").symlink_to(file.parent / "var")
    assert "paths.keys lies in paths.data" in refusal(ConfigInvalid, file)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{file: my.key}", lambda key, site: (key.file, key.variable, key.command) == (site / "my.key", None, None)),
        ("{file: /run/my.key}", lambda key, _: key.file == Path("/run/my.key")),
        ("{variable: GALLERY_KEY}", lambda key, _: (key.file, key.variable) == (None, "GALLERY_KEY")),
        ("{command: [pass, show, whosthere]}", lambda key, _: key.command == ("pass", "show", "whosthere")),
        ("null", lambda key, _: key is None),
    ],
)
def test_where_the_master_key_is(config, written, expected):
    file = config(f"gallery: {{master_key: {written}}}")
    assert expected(load(file, environ={}).gallery.master_key, file.parent)


def test_a_variable_names_the_file_of_the_master_key(config, folder):
    environ = {"WHOSTHERE_GALLERY__MASTER_KEY": '{"file": "my.key"}'}
    assert load(config("{}"), environ=environ).gallery.master_key.file == folder / "my.key"


@pytest.mark.parametrize(
    "written", [f"{SECRET}", "{}", "{file: a, variable: B}", "{variable: B, command: [c]}", "{file: null}"]
)
def test_a_master_key_in_the_settings_or_in_two_places_is_refused(config, written):
    told = refusal(ConfigInvalid, config(f"gallery: {{master_key: {written}}}"))
    assert told.startswith("gallery.master_key: want exactly one of {file: PATH}, {variable: NAME}, {command: [PROGRAM")


@pytest.mark.parametrize("written", ["{variable: '${KEY}'}", "{command: []}", "{command: pass show}", "{key: x}"])
def test_a_place_of_the_master_key_that_is_none(config, written):
    kind = ConfigUnknownKey if "key: x" in written else ConfigInvalid
    assert refusal(kind, config(f"gallery: {{master_key: {written}}}")).startswith("gallery.master_key.")
