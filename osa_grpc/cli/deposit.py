"""`osa-grpc deposit`: make a draft, upload files, submit and follow, in one command."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from osa_grpc.cli import exit_codes
from osa_grpc.cli.following import follow_run
from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.run_board import RunBoard, run_board
from osa_grpc.client import Client, OsaRpcError
from osa_grpc.wire import pb

_HOOKS_OWN = {
    pb.FAILURE_KIND_HOOK_EXIT,
    pb.FAILURE_KIND_OOM,
    pb.FAILURE_KIND_TIMEOUT,
    pb.FAILURE_KIND_BAD_OUTPUT,
}
"""Failures of which a hook's log tells more."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be deposited."""

    files: Sequence[Path] = ()
    metadata: dict[str, Any] | None = None
    """All of the metadata; None: what there is stays."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Single fields, on top."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--convention", help="What it is deposited against, for example pdb-structures@1.0.0.")
@click.option("--to", "existing", metavar="DEPOSITION", help="Correct this draft and submit it again.")
@click.option(
    "--metadata", "metadata_file", type=click.File(encoding="utf-8"), help="A JSON object; `-` is stdin."
)
@click.option(
    "--set",
    "settings",
    metavar="FIELD=VALUE",
    multiple=True,
    help="A field of the metadata; the value is JSON, or else text. May be repeated.",
)
@click.option(
    "--submit/--no-submit", default=True, help="--no-submit leaves a draft; --submit is the default."
)
@click.option("--follow/--no-follow", default=True, help="--no-follow ends with the submission.")
@click.option("--logs", is_flag=True, help="Show what the hooks write to their logs, too.")
@connected
async def deposit(
    session: Session,
    *,
    files: Sequence[Path],
    convention: str | None,
    existing: str | None,
    metadata_file: TextIO | None,
    settings: Sequence[str],
    submit: bool,
    follow: bool,
    logs: bool,
) -> None:
    """Deposit FILES: make a draft, upload, submit, and follow the run to its end, or until a person has to review it.

    With --to it corrects a draft instead, for example after a rejection: FILES replace those of the same name, metadata
    changes, and it is submitted again. The exit code says how the run ended: 0 published, 10 rejected, 11 failed, 12 cancelled;
    13: it waits for a review.
    """
    if (convention is None) == (existing is None):
        raise click.UsageError("give either --convention, for a new deposition, or --to, to correct one")
    wanted = Wanted(
        files=files,
        metadata=None if metadata_file is None else _object(metadata_file.read()),
        changes=dict(_setting(setting) for setting in settings),
    )
    client = session.client
    with run_board(for_programs=session.out.is_json) as board:
        if existing is not None:
            draft = await client.get_deposition(full_name("depositions", existing))
        else:
            metadata = {**(wanted.metadata or {}), **wanted.changes}
            draft = await client.create_deposition(
                full_name("conventions", convention or ""), metadata=metadata
            )
            board.say(draft.name)
        with _hint_when_cut_short(session, f"the draft stays: osa-grpc deposit --to {draft.name} ..."):
            if existing is not None:
                await _correct(client, draft, wanted)
            await upload(client, draft.name, files, board)
            if not submit:
                session.out.resource(await client.get_deposition(draft.name))
                return
            run = await client.submit_deposition(draft.name)
        if not follow:
            session.out.result({"deposition": draft.name, "run": run.name}, plain=run.name)
            return
        with _hint_when_cut_short(session, f"the run goes on: osa-grpc run watch {run.name}"):
            finished = await follow_run(client, run, board, logs=logs, until_review=True)
    _say_what_to_do(session, draft, run, finished)
    click.get_current_context().exit(exit_codes.of_run(finished.state))


def _say_what_to_do(session: Session, draft: pb.Deposition, run: pb.Run, finished: pb.RunFinished) -> None:
    """Say how to go on with what was not published."""
    if finished.state == pb.RUN_STATE_AWAITING_REVIEW:
        session.out.note(f"follow it further: osa-grpc run watch {run.name}")
        return
    if finished.failure.kind in _HOOKS_OWN:
        session.out.note(f"what the hook printed: osa-grpc run logs {run.name}")
    if finished.failure.retryable:
        session.out.note(f"submit again as it is: osa-grpc run retry {run.name}")
    if finished.state != pb.RUN_STATE_COMPLETED:
        session.out.note(f"correct and submit again: osa-grpc deposit --to {draft.name} [FILES] [--set ...]")


async def _correct(client: Client, draft: pb.Deposition, wanted: Wanted) -> None:
    """Change a draft's metadata, and delete the files that will come anew."""
    if wanted.metadata is not None:
        await client.update_deposition(
            draft.name, metadata={**wanted.metadata, **wanted.changes}, etag=draft.etag
        )
    elif wanted.changes:
        await client.update_deposition(
            draft.name, metadata=wanted.changes, fields=list(wanted.changes), etag=draft.etag
        )
    replaced = {path.name for path in wanted.files}
    for file in [file async for file in client.list_files(draft.name)]:
        if file.file_name in replaced:
            await client.delete_file(file.name)


async def upload(
    client: Client, deposition: str, files: Sequence[Path], board: RunBoard, *, label: str = ""
) -> None:
    """Upload files, one after the other."""
    for path in files:
        await client.upload_file(deposition, path, progress=partial(board.upload, label, path.name))


@contextlib.contextmanager
def _hint_when_cut_short(session: Session, hint: str) -> Iterator[None]:
    """Say how to go on when the block ends with an error, or Ctrl-C."""
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, OsaRpcError) and error.reason == "DEPOSITION_NOT_DRAFT"):
            session.out.note(hint)
        raise


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--metadata") from error
    if not isinstance(value, dict):
        raise click.BadParameter("expected a JSON object", param_hint="--metadata")
    return value


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.BadParameter(f"expected FIELD=VALUE, found {text!r}", param_hint="--set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
