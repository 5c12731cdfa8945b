"""What the guard says of a request, apart from any application."""

from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.requests import Request

from streamer.access.attempts import LIMIT, WINDOW_S
from streamer.access.cookies import COOKIE
from streamer.access.errors import RoleTooLow, TokenInvalid, TokenMissing, TooManyAttempts
from streamer.access.guard import Caller, Guard, bearer_of, needs, open_to_all, password_of
from streamer.access.live_tokens import LiveTokens
from streamer.access.token_file import make_token, revoke_token
from streamer.errors import CameraVariableUnset
from streamer.telemetry.metrics import Metrics
from tests.streamer.access.browsers import Keys


def request(*credentials: str, address: str = "192.0.2.7") -> Request:
    headers = [(b"authorization", one.encode()) for one in credentials]
    return Request({"type": "http", "path": "/", "headers": headers, "client": (address, 4711), "path_params": {}})


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def guard_of(path: Path, clock: Clock | None = None) -> tuple[Guard, LiveTokens]:
    tokens = LiveTokens(path)
    tokens.look()
    return Guard(tokens, Metrics(), clock or Clock()), tokens


@pytest.mark.parametrize(
    ("credentials", "found"),
    [
        ([], None),
        (["Bearer"], None),
        (["Basic abc"], None),
        (["Bearer abc", "Bearer abc"], None),
        (["Bearer abc"], b"abc"),
        (["BEARER abc"], b"abc"),
        (["Bearer  abc "], b"abc"),
        (["Bearer two words"], b"two words"),
    ],
)
def test_the_bearers_secret_is_read_of_one_header(credentials, found):
    assert bearer_of(request(*credentials)) == found


def basic(login: str) -> str:
    return f"Basic {b64encode(login.encode()).decode()}"


@pytest.mark.parametrize(
    ("credentials", "found"),
    [
        ([], None),
        (["Basic"], None),
        (["Basic !!!"], None),
        (["Basic é"], None),
        ([basic("")], None),
        ([basic("nobody")], None),
        ([basic("nobody:")], None),
        ([basic("me:wt_abc"), basic("me:wt_abc")], None),
        (["Bearer wt_abc"], None),
        ([basic("me:wt_abc")], b"wt_abc"),
        ([basic(":wt_abc")], b"wt_abc"),
        ([basic("me:two:parts").replace("Basic", "BASIC")], b"two:parts"),
    ],
)
def test_a_password_is_read_of_one_header(credentials, found):
    assert password_of(request(*credentials)) == found


def test_a_token_is_taken_for_a_password_where_a_route_says_so(tmp_path):
    path = tmp_path / "tokens.json"
    _, secret = make_token(path, "the hall's screen", "viewer")
    guard, _ = guard_of(path)
    asked = request(basic(f"anybody:{secret}"))
    assert guard.admit(asked, [needs("viewer", takes_basic=True)]).role == "viewer"
    with pytest.raises(RoleTooLow):
        guard.admit(asked, [needs("operator", takes_basic=True)])
    with pytest.raises(TokenInvalid):
        guard.admit(request(basic("anybody:wt_else")), [needs("viewer", takes_basic=True)])
    with pytest.raises(TokenMissing):
        guard.admit(asked, [needs("viewer")])


def test_a_proxys_own_login_shuts_no_session_out(tmp_path):
    keys = Keys(tmp_path)
    _, secret = keys.sessions.begin(keys.tokens.find(keys.secrets["viewer"].encode()))
    asked = request(basic("me:of the proxy"))
    asked.scope |= {"method": "GET"}
    asked.scope["headers"] += [(b"cookie", f"{COOKIE}={secret}".encode())]
    assert keys.guard.admit(asked, [needs("viewer", takes_basic=True)]).role == "viewer"


def test_a_token_that_is_revoked_lets_nobody_in_and_ends_what_goes_on(tmp_path):
    path = tmp_path / "tokens.json"
    _, secret = make_token(path, "wall", "viewer")
    guard, tokens = guard_of(path)
    caller = guard.admit(request(f"Bearer {secret}"), [needs("viewer")])
    assert (caller.role, guard.still_admits(caller)) == ("viewer", True)

    revoke_token(path, "wall")
    tokens.look()
    assert not guard.still_admits(caller)
    with pytest.raises(TokenInvalid):
        guard.admit(request(f"Bearer {secret}"), [needs("viewer")])

    make_token(path, "wall", "admin")
    tokens.look()
    assert not guard.still_admits(caller), "of the same name, and another one"
    assert guard.still_admits(Caller()), "a route's own secret is not the guard's to take back"


def test_without_any_token_only_what_is_open_is_open(tmp_path):
    guard, _ = guard_of(tmp_path / "tokens.json")
    assert guard.admit(request(), [open_to_all]) == Caller()
    for needed in ([], None, [needs("viewer")], [open_to_all, needs("viewer")], [needs("viewer"), open_to_all]):
        with pytest.raises(TokenMissing):
            guard.admit(request(), needed)
        with pytest.raises(TokenInvalid):
            guard.admit(request("Bearer wt_x"), needed)


@pytest.mark.parametrize(
    ("needed", "lowest"),
    [
        ([needs("viewer")], "viewer"),
        ([needs("operator"), needs("viewer")], "operator"),
        ([needs("viewer"), needs("admin"), open_to_all], "admin"),
        ([], "admin"),
        (None, "viewer"),
    ],
)
def test_the_highest_need_counts_and_none_is_for_admins(tmp_path, needed, lowest):
    path = tmp_path / "tokens.json"
    secrets = {role: make_token(path, role, role)[1] for role in ("viewer", "operator", "admin")}
    guard, _ = guard_of(path)
    admitted = []
    for secret in secrets.values():
        with suppress(RoleTooLow):
            admitted.append(guard.admit(request(f"Bearer {secret}"), needed).role)
    assert admitted == list(secrets)[list(secrets).index(lowest) :]


@pytest.mark.parametrize("own", ["", None])
def test_a_secret_that_is_not_set_opens_nothing(tmp_path, own):
    guard, _ = guard_of(tmp_path / "tokens.json")
    for credentials in ("Bearer None", 'Bearer ""', "Bearer x"):
        with pytest.raises(TokenInvalid):
            guard.admit(request(credentials), [needs("operator", lambda _: own)])


def test_a_secret_that_can_not_be_had_opens_nothing(tmp_path):
    def unset(_: Request) -> str:
        raise CameraVariableUnset("variable DOOR_PASSWORD is not set; set it")

    guard, _ = guard_of(tmp_path / "tokens.json")
    with pytest.raises(TokenInvalid):
        guard.admit(request("Bearer x"), [needs("operator", unset)])


def test_a_secret_may_be_any_bytes(tmp_path):
    """As Python gives those of a variable that are no UTF-8."""
    guard, _ = guard_of(tmp_path / "tokens.json")
    asks = request()
    asks.scope["headers"].append((b"authorization", b"Bearer \xff\xe4"))
    assert guard.admit(asks, [needs("operator", lambda _: "\udcff\udce4")]) == Caller()


def test_a_guesser_waits_for_the_rest_of_the_minute(tmp_path, caplog):
    clock = Clock()
    guard, _ = guard_of(tmp_path / "tokens.json", clock)
    door = [needs("operator", lambda _: "hunter2")]
    for _ in range(LIMIT):
        with pytest.raises(TokenInvalid):
            guard.admit(request("Bearer guess"), door)
        clock.now_s += 1
    with pytest.raises(TooManyAttempts) as caught:
        guard.admit(request("Bearer hunter2"), door)
    assert caught.value.headers == {"Retry-After": "50"}
    assert guard.admit(request("Bearer hunter2", address="192.0.2.8"), door) == Caller()
    assert [record.code for record in caplog.records] == ["too_many_attempts"], "said once"
    assert "192.0.2.7" in caplog.text
    assert "guess" not in caplog.text.replace("192.0.2.7", "")

    clock.now_s += WINDOW_S - LIMIT
    assert guard.admit(request("Bearer hunter2"), door) == Caller()
