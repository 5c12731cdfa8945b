"""`tokens make|list|revoke` as a user types them."""

import pytest

from tests.command import assert_refused, whosthere


def test_a_token_is_made_listed_and_revoked(tmp_path):
    made = whosthere("tokens", "make", "me", "--role", "admin", "--json", cwd=tmp_path)
    assert made.code == 0, made.err
    assert set(made.document) == {"name", "role", "token"}
    assert (made.document["name"], made.document["role"]) == ("me", "admin")

    shown = whosthere("tokens", "make", "wall", "--role", "viewer", cwd=tmp_path)
    (secret,) = shown.out.splitlines()
    assert secret.startswith("wt_")
    assert "shown this once" in shown.err
    assert secret not in shown.err

    listed = whosthere("--json", "tokens", "list", cwd=tmp_path)
    assert [(one["name"], one["role"]) for one in listed.document["tokens"]] == [("me", "admin"), ("wall", "viewer")]
    table = whosthere("tokens", "list", cwd=tmp_path)
    for ended in (listed, table):
        assert "wall" in ended.out
        assert secret not in ended.everything
        assert made.document["token"] not in ended.everything

    assert whosthere("tokens", "revoke", "me", "--json", cwd=tmp_path).document == {"name": "me", "revoked": True}
    assert whosthere("tokens", "revoke", "wall", cwd=tmp_path).out == "wall is revoked\n"
    assert whosthere("tokens", "list", cwd=tmp_path).out.startswith("There is no token yet; try: whosthere tokens make")
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700


def test_what_is_wrong_is_one_line(tmp_path):
    assert whosthere("tokens", "make", "me", "--role", "viewer", cwd=tmp_path).code == 0
    assert_refused(whosthere("tokens", "make", "ME", "--role", "viewer", cwd=tmp_path), "token_name_taken")
    assert_refused(whosthere("tokens", "make", " ", "--role", "viewer", cwd=tmp_path), "token_name_invalid")
    assert_refused(whosthere("tokens", "revoke", "you", cwd=tmp_path), "token_unknown")
    (tmp_path / "var" / "tokens.json").write_text("{")
    for words in (("list",), ("make", "you", "--role", "viewer"), ("revoke", "me")):
        assert_refused(whosthere("tokens", *words, cwd=tmp_path), "tokens_unreadable")
    assert_refused(whosthere("tokens", "list", "--set", "paths.data=/dev/null/x", cwd=tmp_path), "tokens_unreadable")
    refused = whosthere("tokens", "make", "a", "--role", "viewer", "--set", "paths.data=/dev/null/x", cwd=tmp_path)
    assert_refused(refused, "data_folder_unwritable")


@pytest.mark.parametrize("words", [("make", "me"), ("make", "me", "--role", "root"), ("make", "--role", "viewer"), ()])
def test_bad_usage(tmp_path, words):
    ended = whosthere("tokens", *words, cwd=tmp_path)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert not (tmp_path / "var" / "tokens.json").exists()
