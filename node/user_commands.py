"""The ``celadon users`` commands: who may use the page. Heavy imports stand inside the commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.domain.access import Role

if TYPE_CHECKING:
    from node.stores import Stores

app = typer.Typer(help="Who may use the page and the API.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: celadon.toml here, if any).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]


@app.command()
def add(
    name: str,
    role: Annotated[Role, typer.Option("--role", help="What they may do.")],
    config: Config = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """Add somebody, or give somebody a new password and role. The password is asked for, never an argument."""
    from node.web.passwords import hashed

    stores = _stores(config)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    stores.users.add(name, hashed(password), role)
    typer.echo(f"{name} may sign in as {role.value}")


@app.command("list")
def list_(config: Config = None, json_output: Json = False) -> None:
    """List everybody with role, tokens, and since when they are disabled."""
    import json

    stores = _stores(config)
    tokens = stores.users.tokens()
    rows = [
        {
            "name": user.name,
            "role": user.role.value,
            "tokens": tokens.get(user.name, 0),
            "created_at": user.created_at.isoformat(),
            "disabled_at": user.disabled_at.isoformat() if user.disabled_at else None,
        }
        for user in stores.users.all()
    ]
    if json_output:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = f"disabled {row['disabled_at']}" if row["disabled_at"] else f"{row['tokens']} tokens"
        typer.echo(f"{row['name']}\t{row['role']}\t{state}")


@app.command()
def disable(name: str, config: Config = None) -> None:
    """Keep somebody out from now on: password, sessions and tokens."""
    _stores(config).users.disable(name)
    typer.echo(f"{name} is disabled")


@app.command()
def token(
    name: str,
    label: Annotated[str, typer.Option("--label", help="What the token is for.")],
    config: Config = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it works.")] = 365,
) -> None:
    """Make a token for a program; it may do what NAME may, and is shown this once."""
    typer.echo(_stores(config).users.add_token(name, label, days))


@app.command()
def revoke(name: str, config: Config = None) -> None:
    """Make every token of NAME useless."""
    typer.echo(f"{_stores(config).users.revoke_tokens(name)} tokens revoked")


def _stores(config: Path | None) -> "Stores":
    from node.settings import read_settings
    from node.stores import Stores

    return Stores.open(read_settings(config))
