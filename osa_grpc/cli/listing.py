"""Lists on the command line: as many as were asked for, and a word when there are more."""

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import click
from google.protobuf.message import Message

from osa_grpc.cli.output import Output

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
MessageT = TypeVar("MessageT", bound=Message)

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="At most so many; 0: all.",
)


def selection_options(
    *,
    filter: str,  # noqa: A002 - the contract's word
    order_by: str,
) -> Callable[[FunctionT], FunctionT]:
    """The options that say what to list (`where`) and in which order, with an example of each."""

    def options(function: FunctionT) -> FunctionT:
        ordered = click.option("--order-by", default="", help=f"For example '{order_by}'.")(function)
        return click.option("--filter", "where", default="", help=f"For example '{filter}'.")(ordered)

    return options


async def show_list(out: Output, items: AsyncIterator[MessageT], *, limit: int, empty: str) -> None:
    """Show the first items, all with a limit of 0."""
    shown: list[Message] = []
    more = False
    async for item in items:
        more = limit > 0 and len(shown) == limit
        if more:
            break
        if out.is_json:
            out.resource(item)
        shown.append(item)
    if not out.is_json:
        out.resources(shown, empty=empty)
    if more:
        out.note(f"there are more than {limit}; --limit 0 shows all")
