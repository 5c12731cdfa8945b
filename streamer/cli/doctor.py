"""`doctor`: one page of what is wrong, worst first, with the commands that mend it."""

import sys

import typer
import uvloop

from streamer.cli.options import AsJson, ConfigFile, Overrides, print_finding, print_json, print_line
from streamer.telemetry.logs import setup_logging

_MARKS = {"fault": "FAULT  ", "warning": "warning", "hint": "hint   "}


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere doctor --config whosthere.yaml")(doctor)


def doctor(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Look at everything, the running service too, and say what is wrong and which commands mend it.

    Changes nothing. Exit code 1 where there is a fault; warnings and hints alone: 0.
    """
    from streamer.doctor.examine import examine  # HTTP, MQTT and the models, which --help does without
    from streamer.doctor.trouble import SEVERITIES

    setup_logging("error", "auto")
    # Of --set what leads to the same folders and files: others may be secret.
    to_paths = [word for one in overrides or () if one.startswith("paths.") for word in ("--set", one)]
    options = [*(["--config", str(config.absolute())] if config else []), *to_paths]
    report = uvloop.run(examine(config, overrides or (), options))
    faults = report.of("fault")
    if json:
        rows = [
            {"severity": one.severity, "part": one.part, "code": one.code, "detail": one.detail, "mend": list(one.mend)}
            for one in report.troubles
        ]
        counts = {f"{severity}s": len(report.of(severity)) for severity in SEVERITIES}
        seen = {"looked_at": list(report.looked_at), "unseen": list(report.unseen)}
        print_json({"ok": not faults, **counts, "service": report.service, "findings": rows, **seen})
    else:
        for one in report.troubles:
            print_finding(_MARKS[one.severity], f"{one.part}: {one.detail} [{one.code}]")
            for line in one.mend:
                print_line(f"          {line}")
        print_finding("looked at:", ", ".join(report.looked_at))
        for text in report.unseen:
            print_finding("not looked at:", text)
        print_line(f"service: {report.service}")
        if not faults and not report.of("warning"):
            print_line("nothing is wrong")
    if faults:
        told = f"{_counted(len(faults), 'fault')} and {_counted(len(report.of('warning')), 'warning')}"
        sys.stderr.write(f"whosthere: {told} [{faults[0].code}]\n")
        raise typer.Exit(1)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
