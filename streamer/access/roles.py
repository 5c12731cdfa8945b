"""The three roles, each of which may do all that the one before it may. Pure."""

from typing import Literal

Role = Literal["viewer", "operator", "admin"]

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")  # the least first


def covers(role: Role, needed: Role) -> bool:
    """Whether somebody with `role` may do what is for `needed`."""
    return ROLES.index(role) >= ROLES.index(needed)
