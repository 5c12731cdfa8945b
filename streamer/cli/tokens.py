"""`tokens make|list|revoke`: who may use HTTP. A running service notices within a second."""

import time
from typing import Annotated

import typer

from streamer.access.roles import Role
from streamer.access.token_file import make_token, read_tokens, revoke_token
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, print_table, settings_of
from streamer.process import make_data_folder

tokens = typer.Typer(
    no_args_is_help=True,
    help="The tokens that HTTP asks for.",
    epilog="Example: whosthere tokens make phone --role viewer",
)

Name = Annotated[str, typer.Argument(help="Whose or what it is for; each name once.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    app.add_typer(tokens, name="tokens")


@tokens.command(epilog="Example: whosthere tokens make dashboard --role viewer")
def make(
    name: Name,
    role: Annotated[
        Role, typer.Option("--role", help="viewer: sees; operator: changes people and cameras, too; admin: all.")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Make a token and print it: this once, since only its digest is kept."""
    settings = settings_of(config, overrides)
    make_data_folder(settings.paths.data)
    token, secret = make_token(settings.tokens_path, name, role)
    if json:
        print_json({"name": token.name, "role": token.role, "token": secret})
    else:
        print_line(secret)
        note(f"keep it: it is shown this once. {token.name} is {token.role}; send it as `Authorization: Bearer TOKEN`")


@tokens.command("list", epilog="Example: whosthere tokens list --json")
def list_tokens(config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """List the tokens by name, role and when they were made; what they are is not known any more."""
    found = read_tokens(settings_of(config, overrides).tokens_path)
    if json:
        print_json({"tokens": [{"name": one.name, "role": one.role, "created_at": one.created_at} for one in found]})
    else:
        print_table(
            ["name", "role", "made"],
            [[one.name, one.role, time.strftime("%Y-%m-%d %H:%M", time.localtime(one.created_at))] for one in found],
            "There is no token yet; try: whosthere tokens make me --role admin",
        )


@tokens.command(epilog="Example: whosthere tokens revoke dashboard")
def revoke(name: Name, config: ConfigFile = None, overrides: Overrides = None, json: AsJson = False) -> None:
    """Take a token away; a running service refuses it within a second."""
    settings = settings_of(config, overrides)
    make_data_folder(settings.paths.data)
    gone = revoke_token(settings.tokens_path, name)
    if json:
        print_json({"name": gone.name, "revoked": True})
    else:
        print_line(f"{gone.name} is revoked")
