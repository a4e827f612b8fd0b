"""`osa-grpc run`: look at, watch, cancel, retry and review runs; read their logs."""

import contextlib

import click

from osa_grpc.cli import exit_codes
from osa_grpc.cli.following import follow_run
from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.listing import limit_option, selection_options, show_list
from osa_grpc.cli.run_board import run_board
from osa_grpc.cli.run_story import RunStory
from osa_grpc.wire import pb


@click.group()
def run() -> None:
    """Look at, watch, cancel, retry and review runs; read their logs."""


@run.command()
@click.argument("name")
@connected
async def get(session: Session, *, name: str) -> None:
    """Show the run NAME."""
    session.out.resource(await session.client.get_run(full_name("runs", name)))


@run.command("list")
@selection_options(filter="state = FAILED AND failure_kind = OOM", order_by="end_time desc")
@limit_option
@connected
async def list_(session: Session, *, where: str, order_by: str, limit: int) -> None:
    """List runs, the newest first."""
    runs = session.client.list_runs(filter=where, order_by=order_by)
    await show_list(session.out, runs, limit=limit, empty="no such runs" if where else "no runs yet")


@run.command()
@click.argument("name")
@click.option("--logs", is_flag=True, help="Show what the hooks write to their logs, too.")
@click.option("--until-now", is_flag=True, help="Show what has happened, and end.")
@connected
async def watch(session: Session, *, name: str, logs: bool, until_now: bool) -> None:
    """Follow the run NAME to its end; the exit code says how it ended (10 rejected, 11 failed, 12 cancelled).

    A run that waits for a review is followed further, until a person has decided and it is over.

    With --output json each event is an object of its own.
    """
    name = full_name("runs", name)
    if session.out.is_json or until_now:
        await _print_events(session, name, until_now=until_now)
        return
    seen = await session.client.get_run(name)
    with run_board(for_programs=False, hooks=[execution.hook for execution in seen.executions]) as board:
        finished = await follow_run(session.client, seen, board, logs=logs)
    click.get_current_context().exit(exit_codes.of_run(finished.state))


async def _print_events(session: Session, name: str, *, until_now: bool) -> None:
    story = RunStory.of("", [])
    async with contextlib.aclosing(session.client.watch_run(name, until_now=until_now)) as events:
        async for event in events:
            sentence = story.take(event)
            if session.out.is_json:
                session.out.resource(event)
            elif sentence is not None:
                session.out.result({}, plain=sentence)
    if story.finished is not None:
        click.get_current_context().exit(exit_codes.of_run(story.finished.state))


@run.command()
@click.argument("name")
@connected
async def cancel(session: Session, *, name: str) -> None:
    """Ask the run NAME to stop."""
    session.out.resource(await session.client.cancel_run(full_name("runs", name)))


@run.command()
@click.argument("name")
@connected
async def retry(session: Session, *, name: str) -> None:
    """Submit the deposition of the run NAME, which is over and did not publish, once more as it is now. Shows the new run."""
    session.out.resource(await session.client.retry_run(full_name("runs", name)))


@run.command()
@click.argument("name")
@click.option("--reason", default="", help="Why.")
@connected
async def approve(session: Session, *, name: str, reason: str) -> None:
    """Let the run NAME, which waits for a review, be published."""
    session.out.resource(await session.client.approve_run(full_name("runs", name), reason=reason))


@run.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why, for the depositor.")
@connected
async def reject(session: Session, *, name: str, reason: str) -> None:
    """Reject the run NAME, which waits for a review. Its deposition is a draft again, with the reason."""
    session.out.resource(await session.client.reject_run(full_name("runs", name), reason=reason))


@run.command()
@click.argument("name")
@click.argument("hook", required=False)
@click.option("--attempt", type=click.IntRange(min=1), help="Which attempt, from 1; default the latest.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="From which byte on.")
@click.option("--follow", is_flag=True, help="Wait for more until the hook has ended.")
@connected
async def logs(
    session: Session, *, name: str, hook: str | None, attempt: int | None, offset: int, follow: bool
) -> None:
    """Print what HOOK of the run NAME wrote to its log; without HOOK, that of the hook that was last at work."""
    name = full_name("runs", name)
    if hook is None:
        hook = _last_at_work(await session.client.get_run(name))
        session.out.note(f"({hook})")
    pieces = session.client.read_run_log(
        f"{name}/executions/{hook}", attempt=attempt or 0, offset=offset, follow=follow
    )
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            session.out.log(piece)


def _last_at_work(seen: pb.Run) -> str:
    started = [execution.hook for execution in seen.executions if execution.attempt]
    if not started:
        raise click.ClickException(f"no hook of {seen.name} has started yet")
    return started[-1]
