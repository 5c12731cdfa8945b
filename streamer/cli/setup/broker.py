"""The broker of `setup`: where it is, its login and TLS, tried; and whether Home Assistant is told. Blocks for who
answers.
"""

from pathlib import Path
from typing import Any

from recognition.errors import CodedError
from streamer.cli.setup.asking import ask, ask_number, ask_secret, confirm, heading, say, tried, wrong
from streamer.cli.setup.draft import Draft
from streamer.errors import BrokerError, BrokerLoginRefused, ConfigInvalid
from streamer.setup.trying import try_mqtt
from streamer.variables import Unset

_PLAIN, _TLS = 1883, 8883


def take_given(draft: Draft, changes: dict[str, Any]) -> None:
    """Of options. Raises the BrokerError where it refuses or does not answer, and ConfigInvalid for a variable."""
    draft.mqtt.update(changes)
    try:
        _try(draft)
    except BrokerError as error:
        if not draft.unchecked:
            raise
        wrong(error)


def dialogue(draft: Draft) -> None:
    """Ask until it takes a message, or is to be kept all the same."""
    heading(2, "Broker (MQTT): where it is said who is there")
    while True:
        _address(draft)
        try:
            _with_login(draft)
        except CodedError as error:
            wrong(error)
            if draft.mqtt["host"] in ("127.0.0.1", "localhost"):
                say("  on Debian: sudo apt install mosquitto (in another terminal), then try it again")
            if not confirm("  Try again?", default=True):
                return
        else:
            return


def _with_login(draft: Draft) -> None:
    """Ask for a login where it wants one, or another. Raises the BrokerError of what else is wrong."""
    while True:
        try:
            _try(draft)
        except (BrokerLoginRefused, ConfigInvalid) as error:
            if "password" in draft.mqtt:
                wrong(error)
            else:
                say("  it wants a login")
            user = ask("  User (Enter: another broker)", str(draft.mqtt.get("username") or ""))
            if not user:
                raise
            draft.mqtt.update(username=user, password=ask_secret("  Password"))
        else:
            return


def home_assistant(draft: Draft) -> None:
    """Ask whether its MQTT discovery is wanted."""
    section = draft.mqtt.get("home_assistant")
    before = bool(section.get("enabled")) if isinstance(section, dict) else False
    if confirm("Tell Home Assistant (by this broker)?", default=before) != before:
        set_home_assistant(draft, enabled=not before)


def set_home_assistant(draft: Draft, *, enabled: bool) -> None:
    section = draft.mqtt.get("home_assistant")
    draft.mqtt["home_assistant"] = {**(section if isinstance(section, dict) else {}), "enabled": enabled}


def _address(draft: Draft) -> None:
    mqtt = draft.mqtt
    mqtt["host"] = ask("Host", str(mqtt.get("host", "127.0.0.1")))
    tls = confirm("TLS?", default=isinstance(mqtt.get("tls"), dict))
    usual = _TLS if tls else _PLAIN
    port = mqtt.get("port", usual)
    known = port if isinstance(port, int) and port not in (_PLAIN, _TLS) else usual
    mqtt["port"] = ask_number("Port", known, 1, 65535)
    if not tls:
        mqtt.pop("tls", None)
        return
    before = mqtt["tls"] if isinstance(mqtt.get("tls"), dict) else {}
    ca = ask("  Who signed its certificate: a PEM file (Enter: as the system has it)", str(before.get("ca") or ""))
    mqtt["tls"] = {**{key: value for key, value in before.items() if key != "ca"}, **tls_of(ca)}


def tls_of(ca: str) -> dict[str, str]:
    """The section's own CA; a path as of where this was typed."""
    return {"ca": str(Path(ca).expanduser().absolute())} if ca else {}


def _try(draft: Draft) -> None:
    where = f"{draft.mqtt.get('host', '127.0.0.1')}:{draft.mqtt.get('port', _PLAIN)}"
    try:
        version = tried(f"  trying {where}", lambda: try_mqtt(draft.mqtt, draft.file.parent, {}))
    except Unset as unset:
        raise ConfigInvalid(f"mqtt: {unset}") from None
    except BrokerError as error:
        draft.seen["broker"] = {"address": where, "ok": False, "code": error.code, "detail": str(error)}
        raise
    draft.seen["broker"] = {"address": where, "ok": True, "code": None, "detail": f"MQTT {version}"}
    say(f"  {where} takes a message (MQTT {version})")
