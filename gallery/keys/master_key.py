"""Where the master key comes from: what the settings name, or a file of ours in a folder of its own (0600 in 0700).

Everything blocks: a file's read, a command's run. A key is made for what has none yet alone, and never written over.
"""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gallery.errors import GalleryUnwritable, MasterKeyError, MasterKeyMissing, MasterKeyWrong
from gallery.keys.encryption import MasterKey
from recognition.whole_file import folder_held, named, remove_left_over, sync_folder

FILE, NEXT_FILE = "master.key", "master.key.new"
COMMAND_LIMIT_S = 30.0
_DRAFT = ".draft"
_LARGEST_BYTES = 4096
_FORM = "want base64 of 32 bytes, as `openssl rand -base64 32` gives it"


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key that somebody else keeps. `told`: what errors call the place; `read`: its text, or MasterKeyMissing."""

    told: str
    read: Callable[[], str]

    def key(self) -> MasterKey:
        """Raises MasterKeyMissing and MasterKeyWrong."""
        return _key_from(self.read(), self.told)


def in_file(path: Path) -> GivenKey:
    """A key in a file, whoever wrote it."""
    return GivenKey(f"file {path}", lambda: _read(path))


def from_command(command: Sequence[str], limit_s: float = COMMAND_LIMIT_S) -> GivenKey:
    """A key that a command (no shell) prints; what it says on stderr is not shown: it may quote the key."""
    told = f"command {command[0]}"

    def read() -> str:
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=True)
        except subprocess.TimeoutExpired:
            why = f"it took more than {limit_s:g} s"
        except subprocess.CalledProcessError as error:
            why = f"it ended with {error.returncode}"
        except OSError as error:
            why = f"it can't be run ({error.strerror})"
        else:
            return done.stdout[:_LARGEST_BYTES].decode(errors="replace")
        raise MasterKeyMissing(f"master key: {told} gave none: {why}; run it by hand to see why") from None

    return GivenKey(told, read)


@dataclass(frozen=True, slots=True)
class KeySource:
    """`configured`: the key that the settings name; None: a file in `folder`. `coming`: the one of a rotation."""

    folder: Path
    configured: GivenKey | None = None
    coming: GivenKey | None = None

    @property
    def told(self) -> str:
        """What people are told of the place of the key."""
        return f"file {self.file}" if self.configured is None else self.configured.told

    @property
    def file(self) -> Path:
        return self.folder / FILE

    @property
    def next_file(self) -> Path:
        """The key of a rotation that is under way, or was cut off."""
        return self.folder / NEXT_FILE

    def find(self, key_id: str) -> MasterKey:
        """The key of this id, wherever it is: a rotation leaves some files under the old one for a while.

        Raises MasterKeyMissing, and MasterKeyWrong where there are others alone.
        """
        return self.locate(key_id)[1]

    def locate(self, key_id: str) -> tuple[GivenKey, MasterKey]:
        """The same with the place where it was found."""
        problems: list[MasterKeyError] = []
        for given in self._places():
            try:
                found = given.key()
            except MasterKeyError as error:
                problems.append(error)
                continue
            if found.id == key_id:
                return given, found
            problems.append(
                MasterKeyWrong(
                    f"{given.told} holds master key {found.id}, and what is kept here is encrypted under {key_id}; "
                    "give that one back: nothing opens without it"
                )
            )
        if problems:
            raise problems[0]
        raise MasterKeyMissing(
            f"master key {self.file} is not there, and what is kept here is encrypted under master key {key_id}; put "
            "it back, or name it in gallery.master_key: nothing opens without it"
        )

    def for_new_store(self, owned_like: Path) -> MasterKey:
        """The key for what has none yet; made where none is configured and there is no file.

        `owned_like`: a folder whose owner has to be able to read it, where root makes it. Raises MasterKeyError, and
        GalleryUnwritable where it can't be made.
        """
        if self.configured is not None:
            return self.configured.key()
        try:
            return in_file(self.next_file).key()  # the one that stays: the other goes when the rotation is finished
        except MasterKeyMissing:
            if _is_there(self.next_file):
                raise
        if not _is_there(self.file):
            self._make(self.file, owned_like)
        return in_file(self.file).key()

    def begin_rotation(self, owned_like: Path) -> MasterKey:
        """The key that comes: made and on the disk, or that of a rotation that was cut off; as for_new_store()."""
        if self.coming is not None:
            return self.coming.key()
        if not _is_there(self.next_file):
            self._make(self.next_file, owned_like)
        return in_file(self.next_file).key()

    def end_rotation(self, key: MasterKey) -> None:
        """Everything is under this key, which came: its file takes the place of the old one's.

        Nothing is done where it has that place, or another key comes by now. Raises MasterKeyError.
        """
        try:
            if _is_there(self.next_file) and in_file(self.next_file).key() == key:
                os.replace(self.next_file, self.file)
                sync_folder(self.folder)
        except OSError as error:
            raise MasterKeyMissing(
                f"master key {self.next_file} can't take the place of {self.file} ({error.strerror}); rename it by hand"
            ) from None

    def remove_left_over(self) -> None:
        """What a process that was killed while it made a key has left: a second name of the key."""
        remove_left_over(self.folder, f"{FILE}*.????????{_DRAFT}")

    def _places(self) -> Iterator[GivenKey]:
        yield from (given for given in (self.configured, self.coming) if given is not None)
        # A key that is given its place meanwhile is met in one of the two, in this order.
        yield from (in_file(path) for path in (self.next_file, self.file) if _is_there(path))

    def _make(self, path: Path, owned_like: Path) -> None:
        """Written beside its place and linked in, so that whoever looks finds a whole key; one that is there stays."""
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_DRAFT}")
        try:
            owner = owned_like.stat()
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _give(self.folder, owner)
            try:
                with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                    file.write(MasterKey.new().to_text() + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                _give(draft, owner)
                with folder_held(self.folder):
                    named(draft, path)  # where another process was first, its key is the one
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise GalleryUnwritable(
                f"master key {path} can't be made ({error.strerror}); make its folder writable, set paths.keys, name a "
                "key of your own in gallery.master_key, or set gallery.encryption to false"
            ) from None


def _key_from(text: str, told: str) -> MasterKey:
    try:
        return MasterKey.from_text(text)
    except ValueError:
        raise MasterKeyWrong(f"master key: {told} holds none; {_FORM}") from None


def _is_there(path: Path) -> bool:
    """Also where it can't be told: then who reads it says why."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_BYTES).decode(errors="replace")
    except OSError as error:
        raise MasterKeyMissing(
            f"master key {path} can't be read ({error.strerror}); put it there, and let this user read it"
        ) from None


def _give(path: Path, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
