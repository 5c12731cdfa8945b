"""What an address of a peer is: this machine's, a neighbourhood's; and who of a crowd has to go. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol, TypeVar


class FromSomewhere(Protocol):
    """neighbourhood: as neighbourhood_of() has it."""

    @property
    def neighbourhood(self) -> str: ...


Newcomer = TypeVar("Newcomer", bound=FromSomewhere)


def unmapped(address: str) -> IPv4Address | IPv6Address | None:
    """An address; one of IPv4 that came in over a socket of IPv6 as what it is. None where it is none."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def is_of_this_machine(address: str) -> bool:
    """A loopback address: nobody listens in."""
    found = unmapped(address)
    return found is not None and found.is_loopback


def neighbourhood_of(address: str) -> str:
    """Who counts as one: an address; of IPv6 the /64 that a household has. Anything else is cut short."""
    found = unmapped(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return address[:64] if found is None else str(found)


def who_has_to_go(
    waiting: Sequence[Newcomer], newcomer: Newcomer, *, most: int, most_of_one: int | None
) -> Newcomer | None:
    """The one of `waiting` (the oldest first) in whose place the newcomer is let in; None where there is room.

    most_of_one: of the newcomer's neighbourhood; None: it may have all the places.
    """
    if most_of_one is not None:
        neighbours = [one for one in waiting if one.neighbourhood == newcomer.neighbourhood]
        if len(neighbours) >= most_of_one:
            return neighbours[0]
    return waiting[0] if len(waiting) >= most else None
