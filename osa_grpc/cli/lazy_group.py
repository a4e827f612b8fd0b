"""A group of commands that are imported when they are called."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, kw_only=True)
class LazyCommand:
    """Where a command is, and what `--help` says of it without importing it."""

    module: str
    attribute: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are named in a table; `also` has other words for some of them, which help does not list.

    A command that needs the server's packages says so where they are not installed; everything else works without.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        table: Mapping[str, LazyCommand],
        also: Mapping[str, str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **kwargs)
        self._table = table
        self._also = also or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return [*self._table, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = self._table.get(self._also.get(cmd_name, cmd_name))
        if entry is None:
            return super().get_command(ctx, cmd_name)
        try:
            command = getattr(importlib.import_module(entry.module), entry.attribute)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("osa_grpc"):
                raise
            raise click.ClickException(
                f"`{ctx.command_path} {cmd_name}` needs the server's packages ({error.name} is not installed): "
                "pip install 'osa-grpc[server]'"
            ) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, those of the table without importing them."""
        rows = [(name, entry.help) for name, entry in self._table.items()]
        own = super().list_commands(ctx)
        rows += [(name, self.commands[name].get_short_help_str(formatter.width)) for name in own]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
