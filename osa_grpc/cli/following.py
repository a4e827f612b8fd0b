"""Following runs on a board, with their hooks' logs if they are wanted."""

import asyncio
import codecs
import contextlib

import grpc

from osa_grpc.cli.run_board import RunBoard
from osa_grpc.client import Client, Interruption, OsaRpcError
from osa_grpc.wire import pb


async def follow_run(
    client: Client,
    run: pb.Run,
    board: RunBoard,
    *,
    label: str = "",
    logs: bool = False,
    until_review: bool = False,
) -> pb.RunFinished:
    """Show a run from its first event to its last; return how it ended.

    With `until_review` it is also left once it waits for a person; the state returned is AWAITING_REVIEW then.
    """
    board.run(label, run)
    finished = pb.RunFinished()

    def interrupted(interruption: Interruption) -> None:
        why = interruption.error.code.name if interruption.error is not None else "the server asked for it"
        board.say(f"connection lost ({why}), resuming in {interruption.seconds:.1f} s")

    async with (
        asyncio.TaskGroup() as tasks,
        contextlib.aclosing(client.watch_run(run.name, on_interruption=interrupted)) as events,
    ):
        async for event in events:
            if logs and event.WhichOneof("kind") == "hook_started":
                started = event.hook_started
                execution = f"{run.name}/executions/{started.hook}"
                tasks.create_task(
                    follow_log(
                        client,
                        execution,
                        board,
                        hook=started.hook,
                        attempt=started.attempt,
                        label=label,
                    ),
                    name=f"log of {execution}",
                )
            board.event(label, event)
            finished = event.run_finished
            if until_review and event.WhichOneof("kind") == "review_requested":
                return pb.RunFinished(state=pb.RUN_STATE_AWAITING_REVIEW)
    return finished


async def follow_log(
    client: Client, execution: str, board: RunBoard, *, hook: str, attempt: int, label: str = ""
) -> None:
    """Show the lines of a hook's log while it runs. A log that is gone is no reason to stop following the run."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    try:
        async with contextlib.aclosing(
            client.read_run_log(execution, attempt=attempt, follow=True)
        ) as pieces:
            async for piece in pieces:
                if piece.gap:
                    board.log(label, hook, f"{rest} (here bytes may be missing, or be there twice)".strip())
                    decoder.reset()
                    rest = ""
                *lines, rest = (rest + decoder.decode(piece.data)).split("\n")
                for line in lines:
                    board.log(label, hook, line)
    except OsaRpcError as error:
        if error.code is not grpc.StatusCode.NOT_FOUND:
            raise
    if rest:
        board.log(label, hook, rest)
