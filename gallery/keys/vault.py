"""The keys of one gallery: the master key (None: it is plain), and from it those of each person. Pure; any thread.

Each person has two random keys, one for the profile (the name) and one for face and templates, wrapped by ciphers of
the master key: who destroys the wrapped keys has destroyed what they sealed. Blobs say where they belong, in words that
an error can show: no name is among them.
"""

from typing import NamedTuple

from gallery.keys.encryption import Cipher, MasterKey, SealBroken, new_key
from gallery.people import name_key

PLAIN = Cipher(None)


class PersonKeys(NamedTuple):
    """As the gallery's file holds them: wrapped, None in a plain gallery."""

    profile: bytes | None
    template: bytes | None


class Vault:
    """`key_id` None: plain. Ciphers of people raise SealBroken where their wrapped keys are of another vault."""

    __slots__ = ("_master", "_names", "_templates", "key_id")

    def __init__(self, master: MasterKey | None) -> None:
        self.key_id = None if master is None else master.id
        self._master = master
        self._names, self._templates = (
            (PLAIN, PLAIN) if master is None else (master.cipher("names"), master.cipher("templates"))
        )

    def name_tag(self, name: str) -> bytes:
        """Equal where names differ by capitals and blanks alone; in a plain gallery readable."""
        return self._tag("name", name_key(name))

    def external_tag(self, external_id: str | None) -> bytes | None:
        return None if external_id is None else self._tag("external id", external_id)

    def audit_tag(self, text: str) -> bytes | None:
        """Nobody without the key can say it of another text; None: plain."""
        return None if self._master is None else self._master.tag("audit", text)

    def new_keys(self, person_id: str) -> PersonKeys:
        return self._wrapped(person_id, new_key(), new_key())

    def rewrapped(self, person_id: str, keys: PersonKeys, former: "Vault") -> PersonKeys:
        """The same keys, wrapped by this vault and no more by the former; neither of them plain. Raises SealBroken."""
        return self._wrapped(
            person_id,
            former._names.open(keys.profile or b"", _profile_key_place(person_id)),
            former._templates.open(keys.template or b"", _template_key_place(person_id)),
        )

    def profile_cipher(self, person_id: str, wrapped: bytes | None) -> Cipher:
        """What seals the profile."""
        return self._of_person(self._names, wrapped, _profile_key_place(person_id))

    def template_cipher(self, person_id: str, wrapped: bytes | None) -> Cipher:
        """What seals chips, landmarks and templates."""
        return self._of_person(self._templates, wrapped, _template_key_place(person_id))

    def _of_person(self, wrapping: Cipher, wrapped: bytes | None, place: str) -> Cipher:
        if wrapped is not None and wrapping is not PLAIN:
            return Cipher(wrapping.open(wrapped, place))
        if wrapped is None and wrapping is PLAIN:
            return PLAIN
        raise SealBroken(place)

    def _wrapped(self, person_id: str, profile: bytes, template: bytes) -> PersonKeys:
        if self._master is None:
            return PersonKeys(None, None)
        return PersonKeys(
            self._names.seal(profile, _profile_key_place(person_id)),
            self._templates.seal(template, _template_key_place(person_id)),
        )

    def _tag(self, purpose: str, text: str) -> bytes:
        return text.encode() if self._master is None else self._master.tag(purpose, text)


def _profile_key_place(person_id: str) -> str:
    return f"profile key of {person_id}"


def _template_key_place(person_id: str) -> str:
    return f"template key of {person_id}"


def profile_place(person_id: str) -> str:
    return f"profile of {person_id}"


def template_place(person_id: str, space: str) -> str:
    return f"template of {person_id} in {space}"


def negative_template_place(person_id: str, space: str) -> str:
    return f"template of somebody who is not {person_id} in {space}"


def negative_chip_place(person_id: str, source: str) -> str:
    return f"chip of somebody who is not {person_id}, {source}"


def negative_landmarks_place(person_id: str, source: str) -> str:
    return f"landmarks of somebody who is not {person_id}, {source}"


def chip_place(person_id: str, digest: str) -> str:
    return f"chip of {person_id}, photo {digest}"


def landmarks_place(person_id: str, digest: str) -> str:
    return f"landmarks of {person_id}, photo {digest}"
