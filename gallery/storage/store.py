"""PersonStore: people, enrolment photos and templates in one SQLite file (WAL), the source of truth.

Every method blocks for disk I/O: call it off the event loop. Any thread may, one at a time (a lock inside);
other processes may read and write the same file meanwhile.
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from gallery.errors import GallerySealBroken, MergeRefused, PersonAmbiguous, PersonNotFound, SplitRefused
from gallery.keys.encryption import SealBroken
from gallery.merging import merged
from gallery.people import NewPhoto, Person, Profile, checked_profile, clean_name, new_person_id
from gallery.portable import PortablePerson
from gallery.storage import audit
from gallery.storage.admission import former_ids, merge_ids, must_be_free, must_be_new, must_exist, write_down
from gallery.storage.moving import insert_person, insert_row, merge_faces, read_person, split_photos, update_row
from gallery.storage.negative_store import NegativeStore
from gallery.storage.negatives import drop_sources, drop_who_shows
from gallery.storage.profiles import COLUMNS, Broken
from gallery.storage.rows import insert_photos, jpeg, moment
from gallery.storage.schema import left_out, translated
from gallery.storage.template_store import no_photo
from gallery.storage.vacuum import ERASED, make_due
from recognition.near_names import did_you_mean


@dataclass(frozen=True, slots=True)
class Merged:
    """Who is one person now; how many photos came to them, how many negatives were erased since they showed the person.
    is_overwritten: as PersonStore.forget() says.
    """

    person: Person
    photos: int
    negatives: int
    is_overwritten: bool


class PersonStore(NegativeStore):
    """Raises as GalleryDatabase does. `keep_chips` False: of new photos, and of those that come from elsewhere, none is
    kept.
    """

    # People.

    def people(self) -> list[Person]:
        """Everybody, by name, but who does not open: see `unreadable`."""
        return self._people("")

    def profiles(self) -> Mapping[str, Profile]:
        """Everybody's profile by id: what people() says, photos and templates aside, for less. Who does not open is
        left out: see `unreadable`.
        """
        while True:
            vault, broken = self._vault, Broken()
            rows = self._rows(f"SELECT {COLUMNS} FROM people")
            found = self._opened.of(rows, vault, everybody=True, broken=broken)
            if not broken or not self._has_other_key(vault):
                self._unopened.met("profile", broken)
                return found

    def check_people(self) -> None:
        """Open everybody's profile and templates. Raises GallerySealBroken, which names who does not open."""
        self.people()
        self.newest_photos()
        for (space,) in self._rows("SELECT DISTINCT space FROM templates"):
            self.templates(space)
        for (space,) in self._rows("SELECT DISTINCT space FROM negative_templates"):
            self.negatives(space)
        if (error := self.left_out()) is not None:
            raise error

    def left_out(self) -> GallerySealBroken | None:
        """What is to be said of who is `unreadable`; None where nobody is."""
        unreadable = self.unreadable
        return left_out(self.path, unreadable) if unreadable else None

    def take_over(self, former: "PersonStore") -> None:
        """The profiles that the former store, which is closed, has opened: those that are sealed alike stay open."""
        self._opened = former._opened

    def count(self) -> int:
        """How many people are enrolled."""
        return self._count("people")

    def find(self, name_or_id: str) -> Person:
        """As lookup(). Raises PersonNotFound, which names the nearest."""
        person = self.lookup(name_or_id)
        if person is None:
            raise PersonNotFound(f"nobody called {name_or_id!r} is enrolled{self._nearest(name_or_id)}")
        return person

    def lookup(self, name_or_id: str) -> Person | None:
        """The person of this id, or whom it was merged into, or else of this name (capitals and blanks do not count) or
        external id; None where nobody is.

        Raises PersonAmbiguous where it is several people's, and NameInvalid.
        """
        found = self._found(name_or_id)
        if not found and self._follows_key():
            found = self._found(name_or_id)
        if len(found) > 1:
            people = ", ".join(f"{person.id} ({person.name})" for person in found)
            raise PersonAmbiguous(f"{len(found)} people are called {name_or_id!r}; give the id, one of {people}")
        return found[0] if found else None

    def is_enrolled(self, person_id: str) -> bool:
        """Whether somebody has this id; nothing is opened for it, so also of whom nothing opens any more."""
        return self._count("people WHERE id = ?", person_id) > 0

    def name_of(self, person_id: str) -> str | None:
        """The display name; None where nobody has this id (any more)."""
        found = self._opening(lambda: self._profiles("WHERE id = ?", person_id)).get(person_id)
        return None if found is None else found.name

    def check_free(self, who: str | Profile, person_id: str | None = None) -> None:
        """Raises NameTaken where the name of a new person would be somebody's already, but for capitals and blanks, and
        ExternalIdTaken; of somebody who comes with an id PersonIdTaken and PersonForgotten, too.
        """
        self._follows_key()

        def look() -> None:
            with self._lock, translated(self.path):
                if person_id is not None:
                    must_be_new(self._db, person_id)
                must_be_free(self._db, self._vault, self._opened, Profile(who) if isinstance(who, str) else who)

        self._opening(look)

    def add_person(self, who: str | Profile, photos: Sequence[NewPhoto] = ()) -> Person:
        """Enrol a new person with these photos, all or nothing. `who`: the name, or all that is said of the person.

        Raises NameInvalid, NameTaken, ThresholdInvalid, ExternalIdTaken and EmbeddingSpaceMismatch.
        """
        profile = checked_profile(Profile(who) if isinstance(who, str) else who)
        key, now = new_person_id(), time.time()
        chips = self._chips(photos)
        with self._transaction() as db:
            must_be_free(db, self._vault, self._opened, profile)
            faces = self._vault.template_cipher(key, insert_row(db, self._vault, key, profile, now))
            insert_photos(db, key, faces, zip(photos, chips, strict=True), now)
            audit.append(db, self.actor, "enrolled", key, {"photos": len(photos)})
        return self._person(key)

    def portable(self, person_id: str) -> PortablePerson:
        """All that is kept of a person, in clear. Raises PersonNotFound."""

        def read() -> PortablePerson:
            with self._lock, translated(self.path):
                return read_person(self._db, self._vault, person_id)

        return self._opening(read)

    def add_portable(self, person: PortablePerson) -> Person:
        """Somebody who comes from another gallery, with the id of there, all or nothing.

        Raises PersonForgotten, PersonIdTaken, NameTaken, ExternalIdTaken and EmbeddingSpaceMismatch.
        """
        if not self._keep_chips:
            person = replace(person, photos=tuple(replace(photo, jpeg=None) for photo in person.photos))
        with self._transaction() as db:
            must_be_new(db, person.id)
            must_be_free(db, self._vault, self._opened, person.profile)
            insert_person(db, self._vault, person)
            audit.append(db, self.actor, "imported", person.id, {"photos": len(person.photos)})
        return self._person(person.id)

    def add_photos(self, person_id: str, photos: Sequence[NewPhoto]) -> Person:
        """Add photos and their templates to a person, all or nothing.

        A photo that the person has already (same digest) is not kept twice; it only gets its templates of the
        spaces in which it has none yet. Raises PersonNotFound and EmbeddingSpaceMismatch.
        """
        chips = self._chips(photos)
        with self._transaction() as db:
            wrapped, *profile = must_exist(db, person_id, "template_key, profile_key, profile")
            self._opened.of([(person_id, *profile)], self._vault)  # who does not open is not added to
            faces = self._vault.template_cipher(person_id, wrapped)
            added = insert_photos(db, person_id, faces, zip(photos, chips, strict=True), time.time())
            drop_sources(db, person_id, [f"photo {photo.digest}" for photo in photos])  # the newer word counts
            audit.append(db, self.actor, "photos_added", person_id, {"photos": added})
        return self._person(person_id)

    def change(self, person_id: str, edit: Callable[[Profile], Profile], as_: str = "changed") -> Person:
        """Say something else of a person; `edit`, pure, is given what is said now. The audit log has no words of it.

        Raises PersonNotFound, NameInvalid, NameTaken, ExternalIdTaken and ThresholdInvalid.
        """
        with self._transaction() as db:
            wrapped, sealed = must_exist(db, person_id, "profile_key, profile")
            former = self._opened.of([(person_id, wrapped, sealed)], self._vault)[person_id]
            profile = checked_profile(edit(former))
            must_be_free(db, self._vault, self._opened, profile, person_id)
            update_row(db, self._vault, person_id, wrapped, profile)
            what = [one.name for one in fields(Profile) if getattr(profile, one.name) != getattr(former, one.name)]
            audit.append(db, self.actor, as_, person_id, {"what": what})
        return self._person(person_id)

    def rename(self, person_id: str, name: str) -> Person:
        """Give a person another name. Raises PersonNotFound, NameInvalid and NameTaken."""
        name = clean_name(name)
        return self.change(person_id, lambda profile: replace(profile, name=name), as_="renamed")

    def merge(self, person_id: str, into_id: str, thresholds: Mapping[str, float]) -> Merged:
        """Two who were enrolled are one: photos, negatives and what is said of the first (as merging.merged() has it)
        become the second's, whose name and id stay. The first's keys are destroyed; that id stands for the other's.

        Negatives that show the other of the two, by space from a cosine of `thresholds` on, are erased. All or nothing.
        Raises PersonNotFound, MergeRefused, and EmbeddingSpaceMismatch.
        """
        if person_id == into_id:
            raise MergeRefused(f"{person_id} is one person already, and can't be merged into itself; give two")
        with self._transaction() as db:
            people = [must_exist(db, one, f"{COLUMNS}, created_at") for one in (person_id, into_id)]
            profiles = self._opened.of((row[:3] for row in people), self._vault)
            profile = merged(profiles[person_id], profiles[into_id])
            photos, wrong = merge_faces(db, self._vault, person_id, into_id, thresholds)
            merge_ids(db, person_id, into_id, time.time())
            db.execute("DELETE FROM people WHERE id = ?", (person_id,))
            update_row(db, self._vault, into_id, people[1][1], profile)
            created_at = min(row[3] for row in people)
            db.execute("UPDATE people SET created_at = ? WHERE id = ?", (created_at, into_id))
            self._gone(db, person_id)
            audit.append(db, self.actor, "merged_away", person_id, {"into": into_id})
            audit.append(db, self.actor, "merged", into_id, {"person": person_id, "photos": photos, "negatives": wrong})
        return Merged(self._person(into_id), photos, wrong, self.empty_log())

    def split(self, person_id: str, photo_ids: Collection[int], name: str) -> tuple[Person, Person]:
        """Some of a person's photos are somebody else's, who is enrolled by them under this name; nothing else is said
        of them yet. Both, as they are now. All or nothing.

        Raises PersonNotFound, PhotoNotFound, SplitRefused (all photos, or none), NameInvalid and NameTaken.
        """
        anew = PortablePerson(new_person_id(), checked_profile(Profile(name)), time.time(), ())
        with self._transaction() as db:
            must_exist(db, person_id)
            must_be_free(db, self._vault, self._opened, anew.profile)
            there = {row[0] for row in db.execute("SELECT id FROM photos WHERE person_id = ?", (person_id,))}
            for photo_id in sorted(set(photo_ids) - there):
                raise no_photo(person_id, photo_id)
            if not photo_ids or there <= set(photo_ids):
                raise SplitRefused(
                    f"{person_id} has {len(there)} photos, and {'all' if photo_ids else 'none'} of them would be "
                    "somebody else's; give some of them, or rename the person: whosthere people rename"
                )
            split_photos(db, self._vault, person_id, set(photo_ids), anew)
            make_due(db, ERASED)
            self._opened_templates.drop()
            audit.append(db, self.actor, "split", person_id, {"person": anew.id, "photos": len(set(photo_ids))})
            audit.append(db, self.actor, "enrolled", anew.id, {"photos": len(set(photo_ids)), "split_from": person_id})
        self.empty_log()
        return self._person(person_id), self._person(anew.id)

    def forget(
        self, person_id: str, *, why: str | None = None, empty_log: bool = True, thresholds: Mapping[str, float] = {}
    ) -> bool:
        """Destroy a person's keys and erase all rows, overwritten in file and log alike. Raises PersonNotFound.

        So are the negatives of others that show the person: by space, from a cosine of `thresholds` on.

        `why`: what the audit log is told, where somebody's time was over. The id alone is kept, so that no backup
        brings the person back unnoticed, as one of unfinished() until finish(). False where another process read the
        gallery for so long that the log could not be emptied: its pages go at the next forget(), with vacuum(), which
        is due from now on, or when the last process closes the gallery. So it is without `empty_log`: nobody is
        waited for.
        """
        with self._transaction() as db:
            must_exist(db, person_id)
            self._forget(db, person_id, why, thresholds)
        return empty_log and self.empty_log()

    def forget_if(
        self,
        person_id: str,
        is_over: Callable[[Profile, float], bool],
        *,
        why: str | None = None,
        thresholds: Mapping[str, float] = {},
    ) -> bool:
        """The same, the log aside, where it is to be so at that very moment; whether it was.

        `is_over`, pure, is given the profile, and when the newest photo was added, or else the person. Raises
        PersonNotFound.
        """
        with self._transaction() as db:
            created_at, wrapped, sealed = must_exist(db, person_id, "created_at, profile_key, profile")
            profile = self._opened.of([(person_id, wrapped, sealed)], self._vault)[person_id]
            (newest,) = db.execute("SELECT max(added_at) FROM photos WHERE person_id = ?", (person_id,)).fetchone()
            if not is_over(profile, created_at if newest is None else newest):
                return False
            self._forget(db, person_id, why, thresholds)
        return True

    def _forget(self, db: sqlite3.Connection, person_id: str, why: str | None, thresholds: Mapping[str, float]) -> None:
        """The ids that were merged into this one go, too."""
        details: dict[str, object] = {} if why is None else {"why": why}
        if negatives := drop_who_shows(db, self._vault, person_id, thresholds):
            details["negatives_of_others"] = negatives
        former = former_ids(db, person_id)
        db.execute("DELETE FROM people WHERE id = ?", (person_id,))
        write_down(db, [person_id, *former])
        audit.append(db, self.actor, "forgotten", person_id, details)
        for one in former:
            audit.append(db, self.actor, "forgotten", one, {"merged_into": person_id})
        self._gone(db, person_id)

    def _gone(self, db: sqlite3.Connection, person_id: str) -> None:
        """A row was deleted, with keys and all: what was opened of it goes, and what is left in the file is to go."""
        make_due(db, ERASED)
        self._opened.drop(person_id)
        self._opened_templates.drop()
        self._opened_negatives.clear()

    def forget_absent(self, person_id: str) -> None:
        """The same of somebody who is not enrolled any more, by a restore, say: there may be more elsewhere."""
        with self._transaction() as db:
            is_new = not db.execute("SELECT 1 FROM forgotten WHERE id = ?", (person_id,)).fetchone()
            write_down(db, [person_id])
            if is_new:
                audit.append(db, self.actor, "forgotten", person_id)

    # What the above are made of.

    def _chips(self, photos: Sequence[NewPhoto]) -> list[bytes | None]:
        return [None if photo.chip is None or not self._keep_chips else jpeg(photo.chip) for photo in photos]

    def _profiles(self, where: str, *values: str | bytes) -> Mapping[str, Profile]:
        return self._opened.of(self._rows(f"SELECT {COLUMNS} FROM people {where}", *values), self._vault)

    def _found(self, name_or_id: str) -> list[Person]:
        key = name_or_id.strip().lower()
        found = self._people("WHERE id = ?", key)
        found = found or self._people("WHERE id = (SELECT person_id FROM merged WHERE merged.id = ?)", key)
        if not found:
            name = clean_name(name_or_id)
            found = self._people("WHERE name_tag = ?", self._vault.name_tag(name))
            found = [person for person in found if person.name == name] or found
            # One's name may be what another system calls somebody else: then it names neither.
            elsewhere = self._people("WHERE external_tag = ?", self._vault.external_tag(name) or b"")
            found += [person for person in elsewhere if person not in found]
        return found

    def _people(self, where: str, *values: str | bytes) -> list[Person]:
        """Raises SealBroken of those that `where` names; of everybody, who does not open is left out."""

        def read() -> list[Person]:
            profiles = self._profiles(where, *values) if where else self.profiles()
            if not profiles and where:
                return []
            rows = self._rows(
                f"SELECT id, created_at, (SELECT count(*) FROM photos WHERE person_id = people.id) FROM people {where}",
                *values,
            )
            counts: dict[str, dict[str, int]] = {}
            only = "" if not where else f"WHERE person_id IN (SELECT id FROM people {where})"
            for person_id, space, count in self._rows(
                f"SELECT person_id, space, count(*) FROM templates {only} GROUP BY person_id, space", *values
            ):
                counts.setdefault(person_id, {})[space] = count
            found, broken = [], Broken()
            for key, at, photos in rows:
                if key not in profiles:
                    continue
                try:
                    created_at = moment(at, f"time of enrolment of {key}")
                except SealBroken as error:
                    if where:
                        raise
                    broken[key] = str(error)
                    continue
                found.append(Person(key, profiles[key], created_at, photos, counts.get(key, {})))
            if not where:
                self._unopened.met("people", broken)
            return sorted(found, key=lambda person: (person.name, person.id))

        return self._opening(read)

    def _person(self, person_id: str) -> Person:
        found = self._people("WHERE id = ?", person_id)
        if not found:
            raise PersonNotFound(f"person {person_id} was forgotten meanwhile; enrol the person anew")
        return found[0]

    def _nearest(self, name: str) -> str:
        names = sorted({profile.name for profile in self.profiles().values()})
        if not names:
            return "; nobody is yet"
        return did_you_mean(name, names, "see whosthere people list")
