"""A stable code in; the commands that mend it out, as they are to be typed here. Pure, but for a look at who owns what.

A test holds every `whosthere` command of these to those that there are.
"""

import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.mqtt.broker_check import check_topic
from streamer.settings import Settings
from streamer.variables import env_path

ENVIRONMENT = Path("/etc/whosthere/environment")  # the unit's EnvironmentFile

_EDIT = '"${{EDITOR:-nano}}" {file}'
_UPDATE = "{python} -m pip install --upgrade '.[cpu]'  # in a checkout of the newer version"
_RESTART = "{restart}"
_ANYTHING = "whosthere check"
_PROBE = "whosthere cameras probe {camera}"
_KEY_BACK = "install -m 600 COPY_OF_MASTER_KEY {keys}/master.key"
_PUBLISH = "mosquitto_pub -h {broker} -p {mqtt_port} -t {topic} -m check"
_SHOWN_CERTIFICATE = (
    "openssl s_client -connect {broker}:{mqtt_port} </dev/null 2>/dev/null | openssl x509 -noout -subject -enddate"
)
_RESTORE = "whosthere gallery restore BACKUP"

# {file}: the configuration; {secrets}: whosthere.env beside it;
# {data}, {keys}: folders; {python}: the interpreter that has whosthere; {owner}: whose the
# data are. `whosthere` becomes the program as it can be called here, in the owner's name where that is somebody else.
CURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("config_missing", "config_unreadable", "config_unknown_key", "config_invalid"), (_EDIT,)),
    "camera_changes_unreadable": ("mv {data}/cameras.json {data}/cameras.json.damaged",),
    "variable_unset": (f"set -a; . {ENVIRONMENT}; set +a", _ANYTHING),
    "secrets_incomplete": ('"${{EDITOR:-nano}}" {secrets}', _ANYTHING),
    "config_shipped": ("whosthere setup",),
    "cameras_none": ("whosthere setup",),
    # Folders and files.
    "data_folder_unwritable": ("sudo install -d -m 700 -o {me} {data}",),
    "open_to_others": ("chmod go-rwx {path}",),
    "owner_differs": ("sudo chown -R {owner}: {data} {keys}",),
    "disk_full": ("du -xsh {data}/*", "whosthere gallery purge"),
    "disk_low": ("du -xsh {data}/*", "whosthere gallery purge"),
    "set_aside": ("ls -l {data}", "rm -i {data}/*.damaged-*"),
    "key_not_apart": (_EDIT,),
    # The gallery.
    **dict.fromkeys(("gallery_unreadable", "gallery_seal_broken", "gallery_missing", "audit_broken"), (_RESTORE,)),
    **dict.fromkeys(
        ("gallery_too_new", "outbox_too_new", "kept_visits_too_new", "person_file_too_new"), (_UPDATE, _RESTART)
    ),
    "gallery_older": ("cp -a {data} {data}.before", _RESTART),
    "gallery_in_use": (_RESTART,),
    "gallery_unwritable": ("df -h {data}", "ls -ld {data} {data}/gallery.db"),
    "gallery_empty": ("whosthere enrol NAME PHOTO PHOTO",),
    "gallery_plain": (_EDIT, _RESTART),
    "never_backed_up": ("whosthere gallery backup BACKUP", "cp {keys}/master.key ELSEWHERE"),
    "backup_old": ("whosthere gallery backup BACKUP",),
    **dict.fromkeys(("master_key_missing", "master_key_wrong"), (_KEY_BACK,)),
    "key_not_configured": ("whosthere gallery rekey",),
    "encryption_unwanted": ("whosthere gallery rekey",),
    "embedding_space_mismatch": (
        "whosthere people list",
        "whosthere people forget PERSON",
        "whosthere enrol NAME PHOTO",
    ),
    "people_not_covered": ("whosthere gallery reindex",),
    **dict.fromkeys(("vacuum_due", "erasure_incomplete", "purge_due"), ("whosthere gallery purge",)),
    **dict.fromkeys(("calibration_outgrown", "calibration_stale", "calibration_set_aside"), ("whosthere calibrate",)),
    "calibration_overridden": (_EDIT,),
    "classifier_strangers": ("whosthere people set PERSON --external-id ID",),
    "classifier_outgrown": ("whosthere train",),
    "rerank_library_unusable": (_EDIT,),
    # Models.
    "weights_missing": ("whosthere models pull", "whosthere models list"),
    "weights_digest_mismatch": ("whosthere models verify", "whosthere models pull"),
    "model_not_found": ("whosthere models list", _EDIT),
    "unsupported_runtime": ("{python} -m pip install 'whosthere[cpu]'",),
    "self_test_failed": ("whosthere models list", "whosthere models verify"),
    "insufficient_gpu_memory": ("nvidia-smi",),
    "triton_unavailable": ("whosthere models list", _EDIT),
    "model_fallback": ("nvidia-smi", "whosthere models list"),
    "gpu_unused": ("{python} -m pip uninstall -y onnxruntime", "{python} -m pip install 'whosthere[gpu]'"),
    # The broker and what waits for it.
    "broker_unreachable": ("{start_broker}", _PUBLISH),
    "broker_login_refused": (
        "sudo mosquitto_passwd /etc/mosquitto/passwd USER",
        "sudo systemctl reload mosquitto",
        _EDIT,
    ),
    "broker_topic_refused": ("sudo tail -n 20 /var/log/mosquitto/mosquitto.log",),
    "broker_id_taken": (_EDIT,),
    **dict.fromkeys(("broker_speaks_no_tls", "broker_wants_tls", "login_in_clear"), (_EDIT,)),
    **dict.fromkeys(
        (
            *("broker_tls_failed", "broker_certificate_expired", "broker_certificate_ends"),
            *("broker_certificate_other_host", "broker_certificate_self_signed", "broker_certificate_untrusted"),
        ),
        (_SHOWN_CERTIFICATE, _EDIT),
    ),
    **dict.fromkeys(("client_certificate_missing", "client_certificate_refused"), (_EDIT,)),
    **dict.fromkeys(
        ("mqtt_tls_file_unreadable", "mqtt_tls_file_invalid", "mqtt_tls_key_encrypted", "mqtt_tls_key_mismatch"),
        (_EDIT,),
    ),
    "outbox_damaged": ("ls -l {data}",),
    "outbox_unwritable": ("df -h {data}", "ls -ld {data} {data}/outbox.db"),
    "outbox_waiting": (_PUBLISH,),
    "outbox_filling": (_PUBLISH,),
    "outbox_dropped": (_EDIT,),
    "visits_lost": ("df -h {data}",),
    # HTTP.
    "port_in_use": ("sudo ss -ltnp 'sport = :{http_port}'", _EDIT),
    "http_address_invalid": ("ip -brief address", _EDIT),
    "ingest_address_invalid": ("ip -brief address", _EDIT),
    "http_unprotected": (_EDIT,),
    **dict.fromkeys(
        ("certificate_expired", "certificate_ends", "certificate_unusable"),
        ("openssl x509 -in {cert} -noout -subject -enddate",),
    ),
    "tokens_none": ("whosthere tokens make me --role admin",),
    "tokens_unreadable": ("mv {data}/tokens.json {data}/tokens.json.damaged", "whosthere tokens make me --role admin"),
    # Cameras.
    "camera_sees_nothing": (_EDIT,),
    "camera_variable_unset": ('"${{EDITOR:-nano}}" {secrets}', _PROBE),
    "camera_login_refused": (_EDIT, _PROBE),
    "camera_not_found": (_PROBE, "whosthere cameras discover"),
    "camera_unreachable": (_PROBE, "whosthere cameras discover"),
    # The service and its machine.
    "service_stopped": ("{start}",),
    "service_silent": ("{log}", _RESTART),
    "service_outdated": (_RESTART,),
    "overloaded": (_EDIT,),
    "frames_skipped": ("whosthere models bench", _EDIT),
    "clock_unset": ("sudo timedatectl set-ntp true", "timedatectl"),
    "clock_unsynchronised": ("sudo timedatectl set-ntp true", "timedatectl"),
    "clock_ahead": ("timedatectl", "whosthere gallery purge"),
    "open_files_low": ("ulimit -n 16384",),
    "package_missing": ("{python} -m pip install whosthere",),
    "package_untested": ("{python} -m pip install {requirement}",),
    "packages_conflict": (
        "{python} -m pip uninstall -y {conflict}",
        "{python} -m pip install --force-reinstall {kept}",
    ),
}
_CAMERA = (_PROBE,)


@dataclass(frozen=True, slots=True)
class Cures:
    """`options`: what leads commands to the same configuration; `owner`: whose the data folder is."""

    settings: Settings
    file: Path
    options: tuple[str, ...] = ()

    def of(self, code: str, part: str = "", **words: str) -> tuple[str, ...]:
        """The lines for a shell; `words`: what else they name, quoted here."""
        fallback = _CAMERA if part.startswith("camera ") else (_ANYTHING,)
        known = self._words() | {"camera": part.removeprefix("camera ")} | words
        quoted = {key: value if key in _AS_THEY_ARE else shlex.quote(value) for key, value in known.items()}
        return tuple(self._line(line.format(**quoted)) for line in CURES.get(code, fallback))

    def _words(self) -> dict[str, str]:
        settings, unit = self.settings, has_unit()
        is_here = settings.mqtt.host in ("127.0.0.1", "::1", "localhost")
        serve, lock = self._whosthere("whosthere serve"), shlex.quote(str(settings.paths.data / "lock"))
        again = f"fuser -k -TERM {lock}; flock {lock} true; {serve}"  # its lock is free once the old one has ended
        return {
            "file": str(self.file),
            "secrets": str(env_path(self.file)),
            "data": str(settings.paths.data),
            "keys": str(settings.paths.key_folder),
            "python": sys.executable,
            "me": user_name(os.getuid()),
            "owner": self.owner or user_name(os.getuid()),
            "broker": settings.mqtt.host,
            "mqtt_port": str(settings.mqtt.port),
            "start_broker": "sudo systemctl start mosquitto"
            if is_here
            else "ping -c 3 " + shlex.quote(settings.mqtt.host),
            "topic": check_topic(settings.mqtt),
            "http_port": str(settings.http.port),
            "cert": str(settings.http.tls.cert) if settings.http.tls else "CERTIFICATE",
            "start": "sudo systemctl start whosthere" if unit else serve,
            "restart": "sudo systemctl restart whosthere" if unit else again,
            "log": "journalctl -u whosthere -n 50" if unit else f"fuser -v {lock}",
        }

    @property
    def owner(self) -> str | None:
        """Whose the data folder is; None where there is none yet."""
        try:
            return user_name(self.settings.paths.data.stat().st_uid)
        except OSError:
            return None

    def _line(self, line: str) -> str:
        return self._whosthere(line) if line.startswith("whosthere ") else line

    def _whosthere(self, line: str) -> str:
        program, owner = _program(), self.owner
        other = () if owner in (None, user_name(os.getuid())) else ("sudo", "-u", str(owner))
        return " ".join(
            (shlex.join([*other, *program]), line.removeprefix("whosthere "), shlex.join(self.options))
        ).strip()


_AS_THEY_ARE = frozenset({"start_broker", "start", "restart", "log"})


def has_unit() -> bool:
    """Whether systemd has a unit of ours."""
    folders = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
    return any(Path(folder, "whosthere.service").exists() for folder in folders)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"  # as sudo takes one without a name


def _program() -> Sequence[str]:
    """How the command is called here."""
    if shutil.which("whosthere"):
        return ["whosthere"]
    beside = Path(sys.executable).with_name("whosthere")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "streamer"]
