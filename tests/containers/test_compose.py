"""docker-compose.yml and .env.example: held to the compose specification, to our settings, and to what was promised."""

import json
import re
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from recognition.specs.files import load_specs
from streamer.errors import ConfigError
from streamer.settings import Settings
from streamer.settings_reading import load
from tests.conftest import PROJECT
from tests.containers.compose import COMPOSE, EXAMPLE, PASSWORDS, Unset, env_file, environment, example, services

OURS = ("whosthere", "whosthere-gpu", "whosthere-triton")
IMAGE = {"WHOSTHERE_PATHS__DATA": "/data", "WHOSTHERE_PATHS__KEYS": "/keys", "WHOSTHERE_PATHS__MODELS": '["/models"]'}


def loaded(service: str, **changes: str) -> Settings:
    """The settings that the service of this name has in its container."""
    environ = example(**changes)
    own = IMAGE | environment(services(environ)[service], environ)
    return load(PROJECT / "configs/compose/whosthere.yaml", environ=own)


def test_it_is_what_the_compose_specification_says():
    vendored = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(vendored.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    document = yaml.safe_load(COMPOSE.read_text())

    assert [error.message for error in validator.iter_errors(document)] == []
    broken = document | {"services": {"whosthere": {"image": "x", "read-only": True}}}
    assert list(validator.iter_errors(broken)), "the schema refuses what is none"


def test_every_image_has_a_version_and_ours_are_built_here():
    for name, service in services(example()).items():
        image = service["image"]
        if image.startswith("whosthere:"):
            assert service["build"]["target"] == image.partition(":")[2]
            assert f"AS {service['build']['target']}\n" in (PROJECT / "Dockerfile").read_text()
        else:
            assert re.fullmatch(r"(?:docker|nvcr)\.io/[\w./-]+:v?\d[\w.-]+", image), f"{name}: {image}"


def test_every_container_is_locked_down():
    for name, service in services(example()).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
    rooted = {name for name, service in services(example()).items() if service.get("user", "").startswith("0")}
    assert rooted == {"prepare", "triton-repo"}, "these write other users' files"
    assert all(services(example())[name]["network_mode"] == "none" for name in rooted), "and have no network"


def test_ports_are_open_to_this_machine_alone_and_triton_has_none():
    for name, service in services(example()).items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    assert all(
        port.startswith("192.0.2.7:") for port in services(example(BIND_ADDRESS="192.0.2.7"))["whosthere"]["ports"]
    )
    triton = services(example())["triton"]
    assert (triton.get("ports"), triton["networks"]) == (None, ["models"])
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["models"] == {"internal": True}
    others = {name for name, service in services(example()).items() if "models" in service.get("networks", ())}
    assert others == {"triton", "whosthere-triton"}


def test_profiles_say_what_runs_the_models_and_triton_is_waited_for():
    profiles = {name: service.get("profiles") for name, service in services(example()).items() if "profiles" in service}
    assert profiles == {
        "whosthere": ["cpu"],
        "whosthere-gpu": ["gpu"],
        "whosthere-triton": ["triton"],
        "triton-repo": ["triton"],
        "triton": ["triton"],
    }
    made = services(example(GPU_ID="GPU-1f"))
    assert made["whosthere-triton"]["depends_on"]["triton"] == {"condition": "service_healthy"}
    assert "ready" in " ".join(made["triton"]["healthcheck"]["test"])
    for name in ("whosthere-gpu", "triton"):
        (device,) = made[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["device_ids"]) == ("nvidia", ["GPU-1f"])


def test_data_and_keys_are_two_volumes_and_what_is_mounted_is_there():
    for name, service in services(example()).items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./") and source != "./models":
                assert (PROJECT / source).exists(), f"{name}: {source}"
                assert volume.endswith(":ro"), f"{name}: {volume}"
    mounted = dict(volume.split(":")[:2] for volume in services(example())["whosthere"]["volumes"])
    assert (mounted["data"], mounted["keys"]) == ("/data", "/keys")
    assert mounted["./configs/compose"] == "/config", "a folder: a file that an editor replaced would stay as it was"


def test_the_media_server_lets_nobody_in_whom_env_has_not_given_a_password():
    users = yaml.safe_load((PROJECT / "configs/compose/mediamtx.yml").read_text())["authInternalUsers"]
    assert [one["user"] for one in users] == ["camera", "whosthere"]
    for number, one in enumerate(users):
        assert re.fullmatch(r"sha256:A{43}=", one["pass"]), "of nothing that anybody could type"
        given = environment(services(example())["mediamtx"], example())
        assert given[f"MTX_AUTHINTERNALUSERS_{number}_PASS"] == "correct horse"
    assert len(users) == len(given)


@pytest.mark.parametrize("service", OURS)
def test_the_service_finds_its_settings(service):
    settings = loaded(service)

    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.username) == ("mosquitto", 8883, "whosthere")
    assert settings.mqtt.password.get_secret_value() == "correct horse"
    assert settings.mqtt.tls.ca == Path("/certs/ca.crt")
    assert (settings.http.host, settings.http.tls.cert) == ("0.0.0.0", Path("/certs/whosthere/tls.crt"))
    assert (settings.paths.data, settings.paths.keys, settings.paths.models) == (
        Path("/data"),
        Path("/keys"),
        (Path("/models"),),
    )
    assert settings.recognition.device == ("cuda" if service == "whosthere-gpu" else "auto")


def test_triton_is_asked_for_what_its_repository_has():
    section, specs = loaded("whosthere-triton").recognition, load_specs()

    assert section.triton.url == "triton:8001"
    assert section.profiles.keys() == {"nano_det", "nano_embed"}
    for name, profile in section.profiles.items():
        assert (profile.runtime, profile.triton.model, profile.triton.version) == (
            "triton",
            name,
            str(specs[name].version),
        )
    made = services(example())
    assert "triton-repo nano --out /repository/models" in made["triton-repo"]["command"][0]
    assert "--model-repository=/repository/models" in made["triton"]["command"]


def offered() -> dict[str, str]:
    """Every setting of the example, those that are commented out, too."""
    return env_file(EXAMPLE.read_text().replace("\n#WHOSTHERE_", "\nWHOSTHERE_"))


SETTINGS = [name for name in offered() if name.startswith("WHOSTHERE_")]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("service", OURS)
def test_a_setting_of_the_example_arrives(service, name):
    """Its value is that of the settings' tree, in each of the three containers."""
    value = offered()[name]
    found = loaded(service, **{name: value})
    for key in name.removeprefix("WHOSTHERE_").lower().split("__"):
        found = getattr(found, key)
    if hasattr(found, "enabled"):
        assert {"enabled": found.enabled} == json.loads(value)
    else:
        assert found == yaml.safe_load(value)


def test_thresholds_batches_and_the_log_level_are_among_them():
    words = ("THRESHOLD", "MARGIN", "MAX_BATCH", "MAX_WAIT_MS", "QUEUE_LIMIT", "LOG_LEVEL")
    assert all(any(word in name for name in SETTINGS) for word in words)
    defaults = load(PROJECT / "configs/default.yaml", environ={})
    for name in ("GALLERY__MARGIN", "RECOGNITION__MIN_FACE_PX", "RECOGNITION__MIN_QUALITY", "RECOGNITION__MAX_BATCH"):
        section, key = name.lower().split("__")
        assert float(offered()[f"WHOSTHERE_{name}"]) == getattr(getattr(defaults, section), key), "what it is unset"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("WHOSTHERE_SERVICE__LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("WHOSTHERE_GALLERY__THRESHOLD", "45%", "want a number"),
        ("WHOSTHERE_GALLERY__THRESHOLD", "1.5", "less than or equal to 1"),
        ("WHOSTHERE_RECOGNITION__MAX_BATCH", "0", "greater than or equal to 1"),
        ("WHOSTHERE_RECOGNITION__MAX_BATCH", "", "want a whole number"),
        ("WHOSTHERE_MQTT__HOME_ASSISTANT", "yes", "want a section"),
    ],
)
def test_a_bad_value_is_a_clear_error(name, value, says):
    with pytest.raises(ConfigError) as told:
        loaded("whosthere", **{name: value})
    assert name in str(told.value)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", PASSWORDS)
def test_without_a_password_nothing_starts(name):
    with pytest.raises(Unset, match=f"{name} is missing a value: set {name} in .env"):
        services(example(**{name: ""}))


def test_the_example_has_no_password_and_every_variable():
    given = env_file(EXAMPLE.read_text())
    assert all(given[name] == "" for name in PASSWORDS)
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE.read_text()))
    told = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    assert used <= told
    assert told - used - {"COMPOSE_PROFILES"} == {*SETTINGS, "CAM_USER", "CAM_PASSWORD"}
