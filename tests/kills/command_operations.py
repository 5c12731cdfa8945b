"""The same by commands, as a user types them, in a folder with a whosthere.yaml; no service runs, and no broker."""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

import yaml

from gallery.copies.backup_copy import BackupCopy
from gallery.copies.bundle import read_bundle
from gallery.errors import GalleryUnreadable
from gallery.people import Consent
from streamer.commands import main
from tests.faces import KNOWN, NAME
from tests.kills.operations import (
    ADA,
    BOB,
    CLEO,
    EVE,
    Erased,
    Operation,
    Step,
    after,
    enrolled,
    forgot,
    four_people,
    told_of,
)
from tests.kills.states import gallery_of, keys_of, open_store
from tests.seeded import keep_visit

BACKUP, ZIP = "backup.db", "bob.zip"
ANOTHER_HOME = "another"


def run_command(home: Path, *arguments: object) -> tuple[object, str]:
    """Exit code, and all that it said."""
    for variable in [name for name in os.environ if name.startswith("WHOSTHERE_")]:
        del os.environ[variable]
    os.chdir(home)
    sys.argv = ["whosthere", *map(str, arguments)]
    told, code = StringIO(), None
    with redirect_stdout(told), redirect_stderr(told):
        try:
            main()
        except SystemExit as error:
            code = error.code
    return code or 0, told.getvalue()


def command(*arguments: object, done: Sequence[str] = ()) -> Step:
    """`done`: the codes by which it says that there is nothing to do any more."""

    def step(home: Path) -> None:
        code, said = run_command(home, *arguments)
        assert code == 0 or any(f"[{one}]" in said for one in done), f"{arguments}: exit code {code}: {said}"

    return step


def unless_recorded(action: str, step: Step, times: int = 1) -> Step:
    """What a user who looks into the audit log would not do again."""

    def careful(home: Path) -> None:
        if gallery_of(home).exists():
            with suppress(GalleryUnreadable), open_store(home) as store:
                if sum(entry.action == action for entry in store.audit_entries()) >= times:
                    return
        step(home)

    return careful


def rekeyed(times: int) -> Step:
    """Once more, where it was not done; what was cut off is finished by the same command."""
    again = command("gallery", "rekey")
    careful = unless_recorded("rekeyed", again, times)

    def step(home: Path) -> None:
        again(home) if keys_of(home).next_file.exists() else careful(home)

    return step


def forgotten(home: Path) -> None:
    """Once more after a kill, and what is then said to finish it."""
    code, said = run_command(home, "people", "forget", BOB, "--yes")
    assert code == 0 or "[person_not_found]" in said, said
    if "gallery purge" in said:
        PURGE(home)


def configured(home: Path) -> None:
    (home / "whosthere.yaml").write_text(yaml.safe_dump({"mqtt": {"port": 1}}))


def with_visits(home: Path) -> None:
    """Of two people, two each."""
    with open_store(home) as store:
        for number, name in enumerate((ADA, BOB, ADA, BOB), start=1):
            keep_visit(home, store.find(name).id, number, time.time() - 3600)


def with_backup(home: Path) -> None:
    code, said = run_command(home, "gallery", "backup", BACKUP)
    assert code == 0, said


def with_a_zip(home: Path) -> None:
    """Of somebody who is enrolled elsewhere."""
    another = home / ANOTHER_HOME
    another.mkdir()
    after(configured, enrolled(EVE), command("people", "export", EVE, f"../{ZIP}"))(another)
    shutil.rmtree(another)


def with_a_consent_that_is_over(home: Path) -> None:
    with open_store(home) as store:
        consent = Consent("Ada Lovelace", 1e9, "the door", 1.1e9)
        store.change(store.find(ADA).id, lambda profile: replace(profile, consent=consent))


def without_gallery(home: Path) -> None:
    """The key is still there, and the backup."""
    shutil.rmtree(gallery_of(home).parent)


def with_a_damaged_gallery(home: Path) -> None:
    path = gallery_of(home)
    content = bytearray(path.read_bytes())
    content[4096 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4096)
    path.write_bytes(content)


def in_backup(home: Path) -> object:
    """How many are in the backup, if there is one."""
    if not (home / BACKUP).exists():
        return None
    with BackupCopy(home / BACKUP, keys_of(home)) as copy:
        return copy.people()


def in_zip(home: Path) -> object:
    if not (home / ZIP).exists():
        return None
    person = read_bundle(home / ZIP)
    return person.profile, len(person.photos)


RESTORE: Step = unless_recorded("restored", command("gallery", "restore", BACKUP, "--yes"))
PURGE: Step = command("gallery", "purge")
HERE = after(configured, four_people)
COMMANDS = {
    operation.name: operation
    for operation in (
        Operation("command enrol", HERE, [command("enrol", NAME, KNOWN.file)]),
        Operation(
            "command people set",
            HERE,
            [unless_recorded("changed", command("people", "set", ADA, "--external-id", 4711, "--tag", "staff"))],
        ),
        Operation("command people forget", after(HERE, with_visits), [forgotten], [Erased(1, BOB)]),
        Operation(
            "command people export",
            after(HERE, with_visits),
            [command("people", "export", BOB, ZIP, done=["target_exists"])],
            beside=in_zip,
            told_first=True,
        ),
        Operation(
            "command people import",
            after(HERE, with_a_zip),
            [command("people", "import", ZIP, done=["person_id_taken", "name_taken"])],
        ),
        Operation("command gallery rekey", after(HERE, with_visits), [rekeyed(1), rekeyed(2)]),
        Operation(
            "command gallery backup",
            HERE,
            [command("gallery", "backup", BACKUP, done=["target_exists"])],
            beside=in_backup,
            told_first=True,
        ),
        Operation(
            "command gallery restore",
            after(HERE, with_backup, forgot(BOB), enrolled(EVE), told_of(CLEO, tags=("staff",))),
            [RESTORE],
        ),
        Operation(
            "command gallery restore without one",
            after(HERE, with_backup, without_gallery),
            [RESTORE],
            from_nothing=True,
        ),
        Operation(
            "command gallery restore over a damaged one",
            after(HERE, with_backup, with_a_damaged_gallery),
            [RESTORE],
            from_nothing=True,
        ),
        Operation(
            "command gallery purge", after(HERE, with_visits, with_a_consent_that_is_over), [PURGE], [Erased(1, ADA)]
        ),
    )
}
