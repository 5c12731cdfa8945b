"""What an address is, and who has to go where too many wait."""

from dataclasses import dataclass

import pytest

from streamer.addresses import is_of_this_machine, neighbourhood_of, unmapped, who_has_to_go


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        (9000 * "x", 64 * "x"),
        ("", ""),
    ],
)
def test_an_ipv6_household_is_one(address, who):
    assert neighbourhood_of(address) == who


@pytest.mark.parametrize(
    ("address", "found"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("192.0.2.1", "192.0.2.1"), ("proxy", "None")],
)
def test_an_address_is_read_as_what_it_is(address, found):
    assert str(unmapped(address)) == found


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_who_is_on_this_machine(address: str, is_local: bool):
    assert is_of_this_machine(address) is is_local


@dataclass(frozen=True)
class One:
    name: str
    address: str

    @property
    def neighbourhood(self) -> str:
        return neighbourhood_of(self.address)


@pytest.mark.parametrize(
    ("comes", "most", "most_of_one", "goes"),
    [
        ("192.0.2.9", 9, 9, None),
        ("192.0.2.9", 4, 9, "a"),
        ("2001:db8::99", 9, 2, "b"),
        ("2001:db8::99", 4, 2, "b"),
        ("2001:db8::99", 4, None, "a"),
        ("::ffff:192.0.2.1", 9, 1, "a"),
        ("2001:db8:0:9::1", 9, 1, None),
    ],
)
def test_the_oldest_of_the_crowd_goes(comes, most, most_of_one, goes):
    """Of its own neighbourhood where that has too many, else of all."""
    there = [One("a", "192.0.2.1"), One("b", "2001:db8::1"), One("c", "2001:db8::2"), One("d", "198.51.100.1")]
    found = who_has_to_go(there, One("new", comes), most=most, most_of_one=most_of_one)
    assert (found and found.name) == goes
