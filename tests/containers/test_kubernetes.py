"""configs/kubernetes: held to the schemas of several Kubernetes releases, and to what a pod of ours needs."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from streamer.settings_reading import load
from tests.conftest import PROJECT

FOLDER = PROJECT / "configs" / "kubernetes"
RELEASES = ("1.31", "1.34", "1.37")
# The last is a patch: held to them as a whole, below.
NO_RESOURCES = ("kustomization.yaml", "whosthere.yaml", "gpu.yaml")
FILES = [file for file in sorted(FOLDER.rglob("*.yaml")) if file.name not in NO_RESOURCES]


def documents(file: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(file.read_text())


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    found = (document for file in (FOLDER / "base").glob("*.yaml") for document in documents(file))
    return {one["metadata"]["name"]: one for one in found if one.get("kind") == kind and "metadata" in one}


@pytest.fixture
def pod() -> dict[str, Any]:
    return of_kind("StatefulSet")["whosthere"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_are_what_kubernetes_takes(file, release):
    for document in documents(file):
        kubernetes_validate.validate(document, release, strict=True)


def test_a_field_that_there_is_not_would_be_refused():
    broken = of_kind("StatefulSet")["whosthere"]
    broken["spec"]["template"]["spec"]["readOnlyRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, RELEASES[-1], strict=True)


@pytest.mark.parametrize("overlay", ["base", "gpu"])
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which renders the overlays")
def test_an_overlay_is_whole(overlay):
    rendered = subprocess.run(
        ["kubectl", "kustomize", FOLDER / overlay], check=True, capture_output=True, text=True, timeout=60
    )
    found = {document["kind"]: document for document in yaml.safe_load_all(rendered.stdout)}
    for document in found.values():
        kubernetes_validate.validate(document, RELEASES[-1], strict=True)
    spec = found["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    config = next(volume["configMap"] for volume in spec["volumes"] if volume["name"] == "config")
    assert config["name"] == found["ConfigMap"]["metadata"]["name"], "a changed configuration restarts the pod"
    assert container["image"] == {"base": "whosthere:cpu", "gpu": "whosthere:cuda"}[overlay]
    wants_gpu = "nvidia.com/gpu" in container["resources"]["limits"]
    assert wants_gpu == (overlay == "gpu")
    device = {entry["name"]: entry["value"] for entry in container["env"]}.get("WHOSTHERE_RECOGNITION__DEVICE")
    assert device == ("cuda" if overlay == "gpu" else None)


def test_one_pod_is_locked_down_and_watched(pod):
    (container,) = pod["containers"]
    assert of_kind("StatefulSet")["whosthere"]["spec"]["replicas"] == 1
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False


def test_what_is_mounted_is_there_and_data_and_keys_are_apart(pod):
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == set(volumes)
    claims = {
        path: volumes[mounts[path]]["persistentVolumeClaim"]["claimName"] for path in ("/data", "/keys", "/models")
    }
    assert len(set(claims.values())) == 3
    assert set(claims.values()) == set(of_kind("PersistentVolumeClaim"))


def test_the_configuration_loads_with_the_secret_of_the_example(pod):
    (secret,) = documents(FOLDER / "secret.example.yaml")
    assert all(value == "" for value in secret["stringData"].values()), "an example holds no password"
    assert secret["metadata"]["name"] == pod["containers"][0]["envFrom"][0]["secretRef"]["name"]
    environ = secret["stringData"] | {"MQTT_PASSWORD": "correct horse"}
    own = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}

    settings = load(FOLDER / "base" / "whosthere.yaml", environ=environ | own)

    assert settings.mqtt.password.get_secret_value() == "correct horse"
    mounts = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    for file in (settings.mqtt.tls.ca, settings.http.tls.cert, settings.http.tls.key):
        assert str(file.parent) in mounts
    (port,) = pod["containers"][0]["ports"]
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", port["containerPort"])
    assert of_kind("Service")["whosthere"]["spec"]["ports"][0]["targetPort"] == port["name"]
