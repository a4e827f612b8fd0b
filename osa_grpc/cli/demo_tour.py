"""What the demo shows once a server is there: register, deposit, watch, look, query."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from osa_grpc.cli.conventions import convention_from_json
from osa_grpc.cli.deposit import upload
from osa_grpc.cli.features import first_rows
from osa_grpc.cli.following import follow_run
from osa_grpc.cli.output import PlainOutput
from osa_grpc.cli.plain_table import plain_table
from osa_grpc.cli.run_board import RunBoard, run_board
from osa_grpc.cli.run_story import outcome_text
from osa_grpc.cli.wording import enum_word, size
from osa_grpc.client import Client
from osa_grpc.wire import pb

_HEADING_WIDTH = 78
_LOG_LINES = 12


@dataclass(kw_only=True)
class Clock:
    """How long each part took."""

    parts: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the block, under a heading."""
        click.secho(f"\n── {name} {'─' * max(0, _HEADING_WIDTH - len(name))}", bold=True)
        begin = time.monotonic()
        yield
        self.parts.append((name, time.monotonic() - begin))


@dataclass(frozen=True, kw_only=True)
class Told:
    """One structure's way."""

    label: str
    run: pb.Run
    finished: pb.RunFinished


async def tour(address: str, *, example: Path, images: Mapping[str, str], clock: Clock) -> None:
    """Show it all."""
    async with Client(address) as client:
        with clock.part("a convention, and its feature tables"):
            convention = await _register(client, example, images)
        if [record async for record in client.list_records()]:
            click.echo("\nThe data directory has records already: nothing is deposited again.")
        else:
            with clock.part("real structures, deposited and judged"):
                told = await _deposit_all(client, convention, example)
            with clock.part("one rejected, one failed, and why"):
                await _show_ends(client, told)
        with clock.part("queries"):
            await _show_queries(client)


async def _register(client: Client, example: Path, images: Mapping[str, str]) -> pb.Convention:
    message = convention_from_json(await _read(example / "convention.json"), images=images)
    convention_id = message.name.removeprefix("conventions/").partition("@")[0]
    registered = await client.register_convention(convention_id, message)
    async for state in client.watch_convention(registered.name):
        click.echo(f"{state.name} is {enum_word(pb.ConventionState, state.state)}")
        registered = state
    if registered.state != pb.CONVENTION_STATE_READY:
        raise click.ClickException(f"its tables could not be made: {registered.failure.message}")
    for name in registered.feature_tables:
        table = await client.get_feature_table(name)
        columns = ", ".join(column.name for column in table.columns if not column.system)
        click.echo(f"{name}: {columns}")
    return registered


async def _deposit_all(client: Client, convention: pb.Convention, example: Path) -> Sequence[Told]:
    structures = sorted(path for path in (example / "structures").iterdir() if path.is_file())
    total = sum(path.stat().st_size for path in structures)
    click.echo(f"{len(structures)} files, {size(total)}, submitted at once")
    with run_board(for_programs=False, hooks=[hook.name for hook in convention.hooks]) as board:
        async with asyncio.TaskGroup() as tasks:
            started = [
                tasks.create_task(
                    _deposit_one(client, convention.name, path, example / "metadata", board), name=path.name
                )
                for path in structures
            ]
    return [task.result() for task in started]


async def _deposit_one(client: Client, convention: str, path: Path, metadata: Path, board: RunBoard) -> Told:
    label = path.name.partition(".")[0]
    fields = json.loads(await _read(metadata / f"{label}.json"))
    draft = await client.create_deposition(convention, metadata=fields)
    await upload(client, draft.name, [path], board, label=label)
    run = await client.submit_deposition(draft.name)
    finished = await follow_run(client, run, board, label=label)
    return Told(label=label, run=await client.get_run(run.name), finished=finished)


async def _show_ends(client: Client, told: Sequence[Told]) -> None:
    rows = [
        (one.label, enum_word(pb.RunState, one.finished.state), outcome_text(one.finished)) for one in told
    ]
    click.echo(plain_table(("STRUCTURE", "RUN", "HOW IT ENDED"), rows))
    for state in (pb.RUN_STATE_REJECTED, pb.RUN_STATE_FAILED):
        one = next((one for one in told if one.finished.state == state), None)
        if one is not None:
            click.echo(f"\n{one.label}: {outcome_text(one.finished)}")
            await _show_log(client, one.run)


async def _show_log(client: Client, run: pb.Run) -> None:
    """Show the end of the log of the hook that ended the run."""
    last = next(e for e in run.executions if e.verdict in {pb.VERDICT_REJECTED, pb.VERDICT_FAILED})
    click.secho(f"$ osa-grpc run logs {run.name} {last.hook}", dim=True)
    content = b"".join([piece.data async for piece in client.read_run_log(last.name)])
    for line in content.decode(errors="replace").splitlines()[-_LOG_LINES:]:
        click.echo(f"  {line}")


async def _show_queries(client: Client) -> None:
    for table, where, order_by, columns in (
        (
            "structure_summary",
            "resolution <= 2.1",
            "resolution",
            ["method", "resolution", "deposition_date", "space_group", "residue_count", "record_srn"],
        ),
        (
            "chains",
            'polymer_type = "protein" AND residue_count > 50',
            "mean_b_factor desc, chain_id",
            ["chain_id", "residue_count", "mean_b_factor", "sequence"],
        ),
        ("structure_summary", "NOT resolution:*", "method", ["method", "model_count", "residue_count"]),
    ):
        click.secho(
            f"\n$ osa-grpc feature query {table} --filter '{where}' --order-by '{order_by}' "
            f"--columns {','.join(columns)}",
            dim=True,
        )
        pages, _ = await first_rows(client, table, where=where, order_by=order_by, columns=columns, limit=20)
        PlainOutput().pages(pages)


def explore(address: str, *, is_there: bool) -> None:
    """Say how a visitor explores on."""
    query = json.dumps(
        {
            "feature_table": "featureTables/chains",
            "filter": 'polymer_type = "protein" AND mean_b_factor < 30',
            "order_by": "mean_b_factor desc",
            "columns": ["record_srn", "chain_id", "mean_b_factor"],
        }
    )
    service = "opensciencearchive.v1"
    click.echo(
        "\nExplore by hand" + ("" if is_there else f" (after `make serve`, which stays at {address})") + ":"
    )
    for line in (
        f"grpcurl -plaintext {address} list",
        f"grpcurl -plaintext {address} describe {service}.HookDefinition",
        f"grpcurl -plaintext {address} {service}.ServerService/GetServerInfo",
        f"grpcurl -plaintext -d '{{\"page_size\": 3}}' {address} {service}.RunService/ListRuns",
        f"grpcurl -plaintext -d '{query}' {address} {service}.FeatureService/QueryFeatures",
        f"osa-grpc --server {address} record list",
    ):
        click.echo(f"  {line}")


async def _read(path: Path) -> str:
    return await asyncio.to_thread(path.read_text, encoding="utf-8")
