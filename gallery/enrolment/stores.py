"""Stores of faces that other programs keep as files: Frigate's and Double Take's, in which folder, and what there is
nobody's. A folder in, what it is out.

Blocks for looks at folders. Where whose names lie was read in the sources of Frigate 0.16 and 0.17, Double Take 1.13.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What Frigate saw and filed under nobody: "1741000000.123456-abc123-1741000003.2-ada-0.91.webp". A guess, no name.
_ATTEMPT = re.compile(r"\d+\.\d+-[A-Za-z0-9]+-\d+(?:\.\d+)?-.+\.[a-z]+")
_ATTEMPTS = "train"
_IN_FRIGATE = ("clips", "faces")


@dataclass(frozen=True, slots=True)
class FaceStore:
    """`faces`: the folder with a folder for each person. `attempts`: the one among them that is nobody's.

    `blank`: what the program writes for a blank in a name.
    """

    program: str
    faces: Path
    attempts: str | None = None
    blank: str = " "

    def name_of(self, folder: str) -> str:
        """Who that is."""
        return " ".join(folder.replace(self.blank, " ").split()) or folder


def find_store(folder: Path) -> FaceStore | None:
    """What a folder is: a store, or one that has it in it; None: a folder as any other. Raises OSError."""
    for faces in (folder / "clips" / "faces", folder / "faces" if folder.name == "clips" else None):
        if faces is not None and faces.is_dir():
            return frigate(faces)
    if folder.absolute().parts[-2:] == _IN_FRIGATE or _has_attempts(folder):
        return frigate(folder)
    for storage in (folder, folder / ".storage"):
        told = (storage / "database.db").is_file() or (storage / "matches").is_dir()
        if told and (storage / "train").is_dir():
            return FaceStore("Double Take", storage / "train")
    return None


def frigate(faces: Path) -> FaceStore:
    """Its face library: /media/frigate/clips/faces in its container."""
    return FaceStore("Frigate", faces, attempts=_ATTEMPTS, blank="_")


def attempts_in(people: Mapping[str, Sequence[Path]]) -> bool:
    """Whether what lies in folders of these names is a copy of Frigate's faces: its guesses lie there, too."""
    names = [photo.name for photo in people.get(_ATTEMPTS, ())]
    return bool(names) and all(map(_ATTEMPT.fullmatch, names))


def _has_attempts(folder: Path) -> bool:
    attempts = folder / _ATTEMPTS
    if not attempts.is_dir():
        return False
    return attempts_in({_ATTEMPTS: [file for file in attempts.iterdir() if file.is_file()]})
