"""How long a session goes on, by a clock that the test holds, and how many there are."""

import pytest

from streamer.access import sessions as module
from streamer.access.live_tokens import LiveTokens
from streamer.access.sessions import Sessions
from streamer.access.token_file import make_token, revoke_token
from streamer.access.tokens import Token

IDLE_S, LONGEST_S = 100.0, 1000.0


class Clock:
    now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


class Browsers:
    """Sessions of tokens in a file."""

    def __init__(self, folder):
        self.path = folder / "tokens.json"
        self.clock = Clock()
        self.tokens = LiveTokens(self.path)
        self.sessions = Sessions(self.tokens, IDLE_S, LONGEST_S, self.clock)

    def token(self, name: str = "wall") -> Token:
        token, _ = make_token(self.path, name, "viewer")
        self.tokens.look()
        return token

    def later(self, seconds: float) -> None:
        self.clock.now_s += seconds


@pytest.fixture
def browsers(tmp_path):
    return Browsers(tmp_path)


def test_a_session_is_found_by_its_secret_alone(browsers):
    token = browsers.token()
    session, secret = browsers.sessions.begin(token)
    assert len(secret) == 43
    assert browsers.sessions.find(secret.encode()) is session
    assert session.token == token
    for wrong in (b"", secret[:-1].encode(), session.digest.encode(), token.digest.encode()):
        assert browsers.sessions.find(wrong) is None
    kept = repr(vars(browsers.sessions)["_kept"])
    assert secret not in kept, "its digest is what is kept"
    assert session.digest in kept


def test_one_that_is_not_used_is_over(browsers):
    session, secret = browsers.sessions.begin(browsers.token())
    for _ in range(5):
        browsers.later(IDLE_S - 1)
        assert browsers.sessions.find(secret.encode()) is session, "it is used by that"
        assert browsers.sessions.left_s(session) == IDLE_S
    browsers.later(IDLE_S)
    assert browsers.sessions.find(secret.encode()) is None
    assert len(browsers.sessions) == 0


def test_one_that_is_used_all_the_time_is_over_in_the_end(browsers):
    """Whoever looks at a stream uses it."""
    session, secret = browsers.sessions.begin(browsers.token())
    for _ in range(int(LONGEST_S / 50) - 1):
        browsers.later(50)
        assert browsers.sessions.holds(session)
    assert browsers.sessions.left_s(session) == 50
    browsers.later(50)
    assert not browsers.sessions.holds(session)
    assert browsers.sessions.find(secret.encode()) is None


def test_one_that_was_ended_is_over_and_the_others_go_on(browsers):
    token = browsers.token()
    (first, _), (second, secret) = browsers.sessions.begin(token), browsers.sessions.begin(token)
    browsers.sessions.end(first)
    browsers.sessions.end(first)
    assert not browsers.sessions.holds(first)
    assert browsers.sessions.find(secret.encode()) is second


def test_with_its_token_it_is_over(browsers):
    session, secret = browsers.sessions.begin(browsers.token())
    other, _ = browsers.sessions.begin(browsers.token("other"))
    revoke_token(browsers.path, "wall")
    browsers.tokens.look()
    assert browsers.sessions.find(secret.encode()) is None
    assert not browsers.sessions.holds(session)
    assert browsers.sessions.holds(other)
    browsers.token("wall")
    assert not browsers.sessions.holds(session), "another token of the same name"


def test_while_nobody_has_a_token_none_goes_on(browsers):
    session, _ = browsers.sessions.begin(browsers.token())
    sound = browsers.path.read_bytes()
    browsers.path.write_bytes(b"{")
    browsers.tokens.look()
    assert not browsers.sessions.holds(session)
    browsers.path.write_bytes(sound)
    browsers.tokens.look()
    assert browsers.sessions.holds(session)


def test_as_many_are_kept_and_no_more(browsers, monkeypatch):
    monkeypatch.setattr(module, "MOST", 5)
    monkeypatch.setattr(module, "MOST_OF_ONE", 3)
    greedy, token = browsers.token("greedy"), browsers.token("wall")
    kept, _ = browsers.sessions.begin(token)
    first, second, third, fourth = (browsers.sessions.begin(greedy)[0] for _ in range(4))
    assert [browsers.sessions.holds(one) for one in (kept, first)] == [True, False], "its own go first"
    assert [browsers.sessions.holds(one) for one in (third, second, fourth)] == [True, True, True]
    browsers.sessions.begin(token)
    newest, _ = browsers.sessions.begin(token)
    assert len(browsers.sessions) == 5
    assert not browsers.sessions.holds(kept), "the one that was used longest ago"
    assert browsers.sessions.holds(newest)


def test_those_that_are_over_make_room_first(browsers, monkeypatch):
    monkeypatch.setattr(module, "MOST", 2)
    token = browsers.token()
    browsers.sessions.begin(token)
    browsers.later(IDLE_S - 1)
    fresh, _ = browsers.sessions.begin(token)
    browsers.later(1)
    browsers.sessions.begin(token)
    assert browsers.sessions.holds(fresh)
