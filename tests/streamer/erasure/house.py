"""A data folder in which two people are known in every way there is, and a search for what is left of one of them.

What is sought does not go by the product's own search: bytes of files, rows of tables, topics of the broker.
"""

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from gallery.classifier.folder import CLASSIFIER, FILES, PEOPLE, write
from gallery.keys.encryption import Cipher
from gallery.people import NewNegative
from gallery.storage.rows import packed
from streamer.events.event import Due, sighting_of
from streamer.events.outbox_file import Changes, OutboxFile
from streamer.kept_visits.visit import VisitChange, VisitFace, people_of
from streamer.kept_visits.visits_file import VisitsFile
from streamer.naming.places import note_place
from streamer.process import key_source, make_data_folder, store_of
from streamer.settings import Settings
from streamer.settings_reading import load
from streamer.steady import boot_id, steady_s
from tests.gallery.fakes import SPACE, near, negative_of, photo_of, unit
from tests.live.mosquitto import program
from tests.streamer.messages import due, event_id

NAMES = {"ada": "Ada Lovelace-Ünïque", "bob": "Robert Boyle-Distinct"}
PIECE_BYTES = 32
Secrets = dict[str, bytes]


class House:
    """`port`: of a broker that runs. People by nickname: `ids`."""

    def __init__(self, folder: Path, port: int, *, encryption: bool = True) -> None:
        self.folder = folder
        self.settings: Settings = load(
            overrides=[
                f"paths.data={folder / 'data'}",
                f"paths.classifier={folder / 'classifier'}",
                f"mqtt.port={port}",
                f"gallery.encryption={'true' if encryption else 'false'}",
            ],
            environ={},
        )
        self.data = self.settings.paths.data
        self.encrypted = encryption
        self._port = port
        make_data_folder(self.data)
        self.ids = {nick: self._enrol(nick, seed) for seed, nick in enumerate(NAMES, start=1)}
        self._say_who_is_not()
        self._keep_visits()
        self._fill_outbox()
        self._retain()
        self.trained = (folder / "classifier", folder / "elsewhere")
        self._train()

    def _enrol(self, nick: str, seed: int) -> str:
        photos = [photo_of(unit(seed), 10 * seed + number) for number in range(2)]
        with store_of(self.settings, actor="grace") as store:
            person = store.add_person(NAMES[nick] + " the younger", photos)
            store.rename(person.id, NAMES[nick])
            return person.id

    def _say_who_is_not(self) -> None:
        """A stranger is not Ada; neither a stranger nor Ada is Bob, nor who is in a visit in which Ada was named."""
        with store_of(self.settings, actor="grace") as store:
            store.add_negative(self.ids["ada"], negative_of(unit(30), number=30))
            store.add_negative(self.ids["bob"], negative_of(unit(31), number=31))
            store.add_negative(self.ids["bob"], _face_of_ada())
            store.add_negative(self.ids["bob"], negative_of(unit(33), number=33, source=f"event {event_id('ada')}"))

    def _keep_visits(self) -> None:
        with VisitsFile(self.settings.visits_path, key_source(self.settings), make=True) as file:
            file.unlock(encrypt=self.encrypted)
            for seed, (nick, person_id) in enumerate(self.ids.items(), start=1):
                event = due(f"{nick}1n", person=person_id).event
                face = VisitFace(unit(100 + seed), 0.9, SPACE, "s")
                pictures = {"face": f"face of {nick}".encode() * 500, "scene": f"scene of {nick}".encode() * 3000}
                change = VisitChange(
                    event_id=event.event_id,
                    camera="door",
                    is_first=True,
                    is_known=True,
                    began_at=1000.0,
                    began_s=None,
                    seen_at=1001.0,
                    ended_at=None,
                    people=people_of([event]),
                    messages=(event,),
                    faces=(face,),
                    pictures=pictures,
                )
                assert file.write([change]) == set()
            event = due("twins1n", candidates=tuple(self.ids.values())).event
            either = replace(
                change, event_id=event.event_id, is_known=False, people=people_of([event]), messages=(event,)
            )
            assert file.write([replace(either, faces=(), pictures={})]) == set()
            for seed, (nick, person_id) in enumerate(self.ids.items(), start=1):
                event = due(f"stranger{nick}1n", person=None).event
                named = replace(either, event_id=event.event_id, people=frozenset(), messages=(event,))
                face = VisitFace(unit(200 + seed), 0.9, SPACE, "s")
                pictures = {"face": f"stranger of {nick}".encode() * 500, "scene": f"street of {nick}".encode() * 500}
                assert file.write([replace(named, faces=(face,), pictures=pictures)]) == set()
                file.name([event.event_id], person_id, 1002.0)  # somebody said so

    def _fill_outbox(self) -> None:
        for name in ("outbox.db", "outbox.db.damaged-20260101T000000Z"):
            file = OutboxFile(self.data / name, 1000, 1e9, steady_s(), boot_id())
            puts: list[Due] = []
            for nick, person_id in self.ids.items():
                puts += [due(f"{nick}{number}{kind}", person=person_id) for number, kind in ((1, "n"), (2, "e"))]
                puts.append(due(f"{nick}x1n", person=person_id))
            puts.append(due("y1n", candidates=tuple(self.ids.values())))  # it is one of the two
            sightings = {one.event.person.id: sighting_of(one.event) for one in puts if one.event.person}
            file.write(Changes(puts=puts, sightings=sightings), steady_s())
            file.close()

    def _retain(self) -> None:
        people = []
        for nick, person_id in self.ids.items():
            self.publish(f"people/{person_id}/last_seen", {"camera": "door", "at": 1.0, "event_id": event_id(nick)})
            self.publish(f"people/{person_id}/present", {"present": True, "cameras": ["door"], "since": 1.0})
            people.append({"id": person_id, "name": NAMES[nick], "since": 1.0})
        self.publish("cameras/door/present", {"people": people, "unknown": 0, "at": 1.0})

    def _train(self) -> None:
        people = {str(label): person_id for label, person_id in enumerate(self.ids.values())}
        for place in self.trained:
            note_place(self.settings, place)
            faces = b"".join(packed(unit(seed)) for seed, _ in enumerate(NAMES, start=1))
            write(place, dict.fromkeys(FILES, b"") | {CLASSIFIER: faces, PEOPLE: json.dumps(people).encode()})

    def publish(self, topic: str, document: object) -> None:
        """Retained, as by the service."""
        command = [program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(self._port), "-q", "1", "-r"]
        subprocess.run(
            [*command, "-t", f"whosthere/{topic}", "-m", json.dumps(document, ensure_ascii=False)], check=True
        )

    def retained(self) -> str:
        """All that the broker keeps for those who come later."""
        command = [program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(self._port), "-t", "whosthere/#", "-v"]
        return subprocess.run([*command, "--retained-only", "-W", "1"], stdout=subprocess.PIPE, text=True).stdout

    def secrets(self, nick: str) -> Secrets:
        """Whatever tells who somebody is or looks like, in clear and sealed, and the keys to it, by what it is.

        But the id, which two tables may keep.
        """
        person_id, seed = self.ids[nick], list(NAMES).index(nick) + 1
        found = {
            "name": NAMES[nick].encode(),
            "former name": (NAMES[nick] + " the younger").encode(),
            "template": packed(unit(seed)),
            "face of the visit": packed(unit(100 + seed)),
            "picture of the visit": f"face of {nick}".encode() * 2,
            "scene of the visit": f"scene of {nick}".encode() * 2,
            "face of the visit that was named": packed(unit(200 + seed)),
            "picture of the visit that was named": f"stranger of {nick}".encode() * 2,
        }
        with closing(sqlite3.connect(self.settings.gallery_path)) as db:
            found |= self._blobs(db, "people", "id", person_id)
            for table in ("photos", "templates", *(("negatives", "negative_templates") if nick == "ada" else ())):
                found |= self._blobs(db, table, "person_id", person_id)
            if nick == "ada":
                face = _face_of_ada()
                found |= {"face that is not Bob's": packed(face.templates[0].embedding), "its chip": face.jpeg or b""}
                shown = db.execute("SELECT chip FROM negatives WHERE source = ?", (face.source,)).fetchone()
                found |= {"its sealed chip": shown[0]}
            keys = db.execute("SELECT profile_key, template_key FROM people WHERE id = ?", (person_id,)).fetchone()
        with closing(sqlite3.connect(self.settings.visits_path)) as db:
            # In clear, messages are alike but for the id in them, which is sought by itself.
            for table in ("faces", "pictures", *(["messages"] if self.encrypted else [])):
                for visit in (nick, f"stranger{nick}"):
                    blobs = self._blobs(db, table, "event_id", event_id(visit))
                    found |= {f"{visit}'s {what}": blob for what, blob in blobs.items()}
        if not self.encrypted:
            del found["people 0: profile"]  # in clear they are alike but for the name
        else:
            for purpose, kind, wrapped in zip(("names", "templates"), ("profile", "template"), keys, strict=True):
                found[f"{kind} key"] = self._key_cipher(purpose).open(wrapped, f"{kind} key of {person_id}")
        return found

    @staticmethod
    def _blobs(db: sqlite3.Connection, table: str, where: str, key: str) -> Secrets:
        rows = db.execute(f"SELECT * FROM {table} WHERE {where} = ?", (key,))
        names = [column[0] for column in rows.description]
        return {
            f"{table} {number}: {name}": value
            for number, row in enumerate(rows.fetchall())
            for name, value in zip(names, row, strict=True)
            if isinstance(value, bytes) and len(value) > 8
        }

    def _key_cipher(self, purpose: str) -> Cipher:
        source = key_source(self.settings)
        with closing(sqlite3.connect(self.settings.gallery_path)) as db:
            (key_id,) = db.execute("SELECT value FROM meta WHERE key = 'key_id'").fetchone()
        return source.find(key_id).cipher(purpose)

    def remains(self, nick: str, secrets: Secrets) -> list[str]:
        """What of somebody is left, and where."""
        backup = self.folder / "backup.db"
        backup.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.settings.gallery_path)) as db:
            db.execute("VACUUM INTO ?", (str(backup),))
        places = (self.data, *self.trained)
        files = [*(file for place in places for file in sorted(place.rglob("*")) if file.is_file()), backup]
        left = []
        for file in files:
            content = file.read_bytes()
            left += [f"{what} in {file.name}" for what, secret in secrets.items() if _is_in(secret, content)]
            if self.ids[nick].encode() in content and not file.name.startswith(("gallery.db", "backup.db")):
                left.append(f"id in {file.name}")
        for path in (self.settings.gallery_path, backup):
            left += [f"id in table {table} of {path.name}" for table in self._tables_with(path, self.ids[nick])]
        retained = self.retained()
        left += [f"{what} retained" for what in (self.ids[nick], NAMES[nick]) if what in retained]
        return left

    @staticmethod
    def _tables_with(path: Path, person_id: str) -> Iterator[str]:
        with closing(sqlite3.connect(path)) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = db.execute(f"SELECT * FROM {table}").fetchall()
                if table not in ("forgotten", "audit") and any(person_id in map(str, row) for row in rows):
                    yield table


def _face_of_ada() -> NewNegative:
    return negative_of(near(unit(1), 0.8), number=32)


def _is_in(secret: bytes, content: bytes) -> bool:
    """Any piece of it: SQLite cuts what is larger than a page. Not of its first half: JPEGs begin alike."""
    pieces = [secret[at : at + PIECE_BYTES] for at in range(len(secret) // 2, len(secret) - PIECE_BYTES, 400)]
    return any(piece in content for piece in pieces or [secret])


def leave_deleted(path: Path, table: str, column: str) -> None:
    """What another program may do: write a blob of each row elsewhere and delete it, without overwriting it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute(f"CREATE TABLE other AS SELECT {column} FROM {table}")
        db.execute("DROP TABLE other")
