"""`osa-grpc feature`: query what hooks computed."""

import click

from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.listing import limit_option, selection_options, show_list
from osa_grpc.client import Client, QueryPage

_PAGE_ROWS = 1000


@click.group()
def feature() -> None:
    """Query what hooks computed."""


@feature.command("list")
@limit_option
@connected
async def list_(session: Session, *, limit: int) -> None:
    """List the feature tables."""
    await show_list(
        session.out, session.client.list_feature_tables(), limit=limit, empty="no feature tables yet"
    )


@feature.command()
@click.argument("table")
@connected
async def describe(session: Session, *, table: str) -> None:
    """Show the columns of TABLE, for example chains."""
    session.out.resource(await session.client.get_feature_table(full_name("featureTables", table)))


@feature.command()
@click.argument("table")
@selection_options(filter='resolution < 2.0 AND method:"X-RAY"', order_by="resolution desc, record_srn")
@click.option("--columns", default="", help="Which, separated by commas; default all.")
@limit_option
@connected
async def query(session: Session, *, table: str, where: str, order_by: str, columns: str, limit: int) -> None:
    """Show rows of TABLE; with --output json an object for each row."""
    wanted = [column.strip() for column in columns.split(",") if column.strip()]
    pages, more = await first_rows(
        session.client, table, where=where, order_by=order_by, columns=wanted, limit=limit
    )
    session.out.pages(pages)
    if more:
        session.out.note(f"there are more than {limit} rows; --limit 0 shows all")


async def first_rows(
    client: Client, table: str, *, where: str = "", order_by: str = "", columns: list[str], limit: int
) -> tuple[list[QueryPage], bool]:
    """Return the pages with the first rows, all with a limit of 0, and whether there are more."""
    pages: list[QueryPage] = []
    count = 0
    async for page in client.query_pages(
        full_name("featureTables", table),
        filter=where,
        order_by=order_by,
        columns=columns,
        page_size=min(limit, _PAGE_ROWS) or _PAGE_ROWS,
    ):
        rows = page.rows[: limit - count] if limit else page.rows
        count += len(rows)
        pages.append(QueryPage(columns=page.columns, rows=rows, next_page_token=page.next_page_token))
        if limit and count == limit:
            return pages, bool(page.next_page_token) or len(rows) < len(page.rows)
    return pages, False
