"""The file of tokens in the data folder: read as a whole, changed by one command at a time, whole or not at all.

For its folder's owner alone (0600). Every function blocks for the disk.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from recognition.whole_file import HeldByAnother, held_alone, replacing
from streamer.access.errors import TokenNameTaken, TokensUnreadable, TokensUnwritable, TokenUnknown
from streamer.access.roles import Role
from streamer.access.tokens import Token, checked_name, digest_of, make_secret, same_name

LARGEST_BYTES = 1 << 20
_BUSY_FOR_S = 5.0


class _Entry(BaseModel):
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    role: Role
    created_at: float
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Document(BaseModel):
    version: Literal[1]
    tokens: list[_Entry] = Field(max_length=10_000)


def read_tokens(path: Path) -> tuple[Token, ...]:
    """All tokens, the oldest first; none where there is no file. Raises TokensUnreadable: then nobody has one."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TokensUnreadable(
            f"tokens {path} can't be read ({error.strerror}): nobody gets in; give this user the files in paths.data"
        ) from None
    try:
        found = _Document.model_validate_json(text, strict=True).tokens
    except ValidationError:
        raise TokensUnreadable(
            f"tokens {path} is damaged or of a newer whosthere: nobody gets in; put a copy back, or delete it and make "
            "the tokens anew"
        ) from None
    return tuple(Token(entry.name, entry.role, entry.created_at, entry.sha256) for entry in found)


def make_token(path: Path, name: str, role: Role) -> tuple[Token, str]:
    """A new token and its secret, which is kept nowhere.

    Raises TokenNameInvalid, TokenNameTaken, TokensUnreadable and TokensUnwritable.
    """
    name = checked_name(name)
    with _alone(path):
        tokens = read_tokens(path)
        if taken := next((token.name for token in tokens if same_name(token.name, name)), None):
            raise TokenNameTaken(f"there is a token {taken} already; revoke it first, or choose another name")
        secret = make_secret()
        token = Token(name, role, time.time(), digest_of(secret.encode()))
        _write(path, (*tokens, token))
    return token, secret


def revoke_token(path: Path, name: str) -> Token:
    """Take a token away. Raises TokenUnknown, TokensUnreadable and TokensUnwritable."""
    with _alone(path):
        tokens = read_tokens(path)
        gone = next((token for token in tokens if same_name(token.name, name)), None)
        if gone is None:
            raise TokenUnknown(f"there is no token {name!r}; `whosthere tokens list` shows which there are")
        _write(path, tuple(token for token in tokens if token is not gone))
    return gone


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    entries = [
        {"name": token.name, "role": token.role, "created_at": token.created_at, "sha256": token.digest}
        for token in tokens
    ]
    with replacing(path) as file:
        file.write(json.dumps({"version": 1, "tokens": entries}, indent=2, ensure_ascii=False).encode() + b"\n")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other command changes the file meanwhile. Raises TokensUnwritable."""
    try:
        with held_alone(path, within_s=_BUSY_FOR_S):
            yield
    except HeldByAnother:
        raise TokensUnwritable(f"tokens {path} is being written by another command; try again") from None
    except OSError as error:
        raise TokensUnwritable(
            f"tokens {path} can't be written ({error.strerror}); make paths.data writable, or make room there"
        ) from None
