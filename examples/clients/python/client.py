"""A client of osa-grpc in Python: from a convention to the rows of a published structure. See ../SCENARIO.md.

It uses the client that comes with osa-grpc, which sends checksums, retries and resumes by itself. Where the scenario asks for
what nobody should have to do by hand (cancelled uploads, messages of a newer contract), it shows how to reach the stubs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import Parse
from opensciencearchive.v1 import (
    convention_pb2,
    deposition_service_pb2,
    deposition_service_pb2_grpc,
    error_details_pb2,
    hook_pb2,
    run_pb2,
    run_service_pb2,
)

from osa_grpc.client import Client, Interruption, OsaRpcError

Saw = dict[str, Any]

CONVENTION_ID = "pdb-structures"
TABLE = "featureTables/chains"


async def main() -> None:
    """Go the road, and print what was seen at each step."""
    parser = argparse.ArgumentParser(prog="run")
    parser.add_argument("address")
    parser.add_argument("structure", type=Path)
    parser.add_argument("convention", type=Path)
    given = parser.parse_args()
    traveller = Traveller(
        address=given.address,
        structure=given.structure,
        convention=Parse(given.convention.read_text(), convention_pb2.Convention()),
    )
    try:
        for step in (
            traveller.server_info,
            traveller.validate_only,
            traveller.register,
            traveller.register_again,
            traveller.conflict,
            traveller.upload,
            traveller.submit,
            traveller.watch,
            traveller.log,
            traveller.query,
            traveller.download,
            traveller.errors,
        ):
            seen = {"step": step.__name__, "saw": await step()}
            print(json.dumps(seen, sort_keys=True, ensure_ascii=False), flush=True)
    finally:
        await traveller.client.close()


class Traveller:
    """Carries along the road what later steps need of earlier ones."""

    def __init__(self, *, address: str, structure: Path, convention: convention_pb2.Convention) -> None:
        self.address = address
        self.structure = structure
        self.convention = convention
        self.client = Client(address)
        self.convention_name = ""
        self.deposition = ""
        self.file = ""
        self.run = ""

    async def server_info(self) -> Saw:
        """Ask what the server is and can do."""
        info = await self.client.server_info()
        return {
            "runtimes": list(info.runtimes),
            "feature_kinds": list(info.feature_kinds),
            "container_contracts": list(info.container_contracts),
        }

    async def validate_only(self) -> Saw:
        """Ask whether the convention would be accepted."""
        checked = await self.client.register_convention(CONVENTION_ID, self.convention, validate_only=True)
        try:
            await self.client.get_convention(checked.name)
        except OsaRpcError as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            return {"name": checked.name, "stored": False}
        return {"name": checked.name, "stored": True}

    async def register(self) -> Saw:
        """Register the convention, and wait until it can be used."""
        registered = await self.client.register_convention(CONVENTION_ID, self.convention)
        self.convention_name = registered.name
        # Its tables are being made. The stream ends once it is READY or FAILED.
        async for convention in self.client.watch_convention(registered.name):
            registered = convention
        return {
            "name": registered.name,
            "state": enum_name(convention_pb2.ConventionState, registered.state),
            "feature_tables": list(registered.feature_tables),
        }

    async def register_again(self) -> Saw:
        """Register the same again: it stays as it is."""
        again = await self.client.register_convention(CONVENTION_ID, self.convention)
        return {
            "same_name": again.name == self.convention_name,
            "state": enum_name(convention_pb2.ConventionState, again.state),
        }

    async def conflict(self) -> Saw:
        """Register a version whose column is of another type: it is refused, with the columns."""
        other = copy_of(self.convention)
        other.name, other.version = "", "2.0.0"
        chains = next(hook for hook in other.hooks if hook.name == "chains")
        column = next(column for column in chains.table.columns if column.name == "residue_count")
        column.json_type = hook_pb2.JSON_TYPE_STRING

        error = await refused(self.client.register_convention(CONVENTION_ID, other))
        columns = [
            {"column": column.column, "expected": column.expected, "found": column.found}
            for detail in error.details
            if isinstance(detail, error_details_pb2.FeatureTableConflict)
            for column in detail.columns
        ]
        return {"code": error.code.name, "reason": error.reason, "columns": columns}

    async def upload(self) -> Saw:
        """Make a deposition and upload the structure."""
        self.deposition = await self.new_deposition()
        # In pieces, with its size and its SHA-256.
        file = await self.client.upload_file(self.deposition, self.structure, media_type="chemical/x-mmcif")
        self.file = file.name
        return {"file_name": file.file_name, "size_bytes": file.size_bytes, "sha256": file.sha256}

    async def new_deposition(self) -> str:
        """Make a draft with the structure's metadata."""
        entry = self.structure.name.partition(".")[0]
        metadata = json.loads((self.structure.parent.parent / "metadata" / f"{entry}.json").read_text())
        draft = await self.client.create_deposition(self.convention_name, metadata=metadata)
        return draft.name

    async def submit(self) -> Saw:
        """Have the deposition judged and published."""
        run = await self.client.submit_deposition(self.deposition)
        self.run = run.name
        return {"state": enum_name(run_pb2.RunState, run.state)}

    async def watch(self) -> Saw:
        """Follow the run to its end.

        The client goes on by itself when a connection breaks or the server says `closing`; after OK there is nothing more
        to come. Here it is closed in the middle, as if this program had died, and another one goes on with the token.
        """
        history = History()
        messages = self.client.watch_run_batches(self.run, on_interruption=history.interrupted)
        async with contextlib.aclosing(messages):  # ends the call
            async for message in messages:
                history.add(message)
                if "hook_started" in history.kinds:
                    break
        await self.client.close()

        self.client = Client(self.address)
        history.connections += 1
        async for message in self.client.watch_run_batches(
            self.run, resume_token=history.token, on_interruption=history.interrupted
        ):
            history.add(message)
        return {
            "connections": history.connections,
            "each_once": history.sequences == list(range(1, len(history.sequences) + 1)),
            "kinds": history.kinds,
            "end": enum_name(run_pb2.RunState, history.end),
            "closed_with": "OK",  # anything else is raised
        }

    async def log(self) -> Saw:
        """Read what a hook printed."""
        pieces = self.client.read_run_log(f"{self.run}/executions/chains")
        log = b"".join([piece.data async for piece in pieces])
        return {"size_bytes": len(log), "sha256": hashlib.sha256(log).hexdigest()}

    async def query(self) -> Saw:
        """Read two pages of what a hook computed."""
        pages = self.client.query_pages(
            TABLE,
            filter="residue_count > 1",
            order_by="chain_id desc",
            columns=["chain_id", "polymer_type", "residue_count", "sequence", "mean_b_factor"],
            page_size=2,
        )
        first, second = await anext(pages), await anext(pages)
        return {"columns": [column.name for column in first.columns], "pages": [first.rows, second.rows]}

    async def download(self) -> Saw:
        """Download the file again."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / self.structure.name
            await self.client.download_file(self.file, path)
            content = path.read_bytes()
        return {
            "same": content == self.structure.read_bytes(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    async def errors(self) -> Saw:
        """Provoke errors, and say how they are told apart."""
        provoked = {
            "bad_name": self.register_with_hook(lambda hook: setattr(hook, "name", "Bad Name")),
            "unknown_column": anext(self.client.query_pages(TABLE, filter="no_such_column > 1")),
            "empty_oneof": self.register_with_hook(lambda hook: hook.ClearField("oci")),
            "unknown_arm": self.register_with_hook(give_it_an_unknown_arm),
            "unknown_field": self.register_with_hook(give_it_an_unknown_field),
        }
        seen: Saw = {}
        for name, call in provoked.items():
            error = await refused(call)
            seen[name] = {
                "code": error.code.name,
                "reason": error.reason,
                "fields": sorted(violation.field for violation in error.violations),
            }
        late = await refused(self.client.with_timeout(-1.0).server_info())
        return seen | {
            "expired_deadline": {"code": late.code.name},
            "cancelled": {"code": (await self.cancelled_upload()).name},
        }

    async def register_with_hook(self, change: Callable[[hook_pb2.HookDefinition], object]) -> None:
        """Ask whether the convention would be accepted with its first hook changed."""
        changed = copy_of(self.convention)
        change(changed.hooks[0])
        await self.client.register_convention(CONVENTION_ID, changed, validate_only=True)

    async def cancelled_upload(self) -> grpc.StatusCode:
        """Begin an upload and think better of it; nothing of the file is kept."""
        deposition = await self.new_deposition()
        header = deposition_service_pb2.UploadFileHeader(parent=deposition, file_name="abandoned.cif")
        async with grpc.aio.insecure_channel(self.address) as channel:
            call = deposition_service_pb2_grpc.DepositionServiceStub(channel).UploadFile()
            await call.write(deposition_service_pb2.UploadFileRequest(header=header))
            await call.write(deposition_service_pb2.UploadFileRequest(chunk=b"data_"))
            call.cancel()
            code: grpc.StatusCode = await call.code()
            return code


@dataclass
class History:
    """What was seen of a run, over all connections."""

    connections: int = 1
    token: str = ""
    sequences: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    end: int = run_pb2.RUN_STATE_UNSPECIFIED

    def add(self, message: run_service_pb2.WatchRunResponse) -> None:
        """Take in a message."""
        for event in message.events:
            self.sequences.append(event.sequence)
            kind = event.WhichOneof("kind")
            if kind is None:  # of a newer contract: nothing else is known of it
                print(
                    f"event {event.sequence} is of a kind this client does not know; going on",
                    file=sys.stderr,
                )
            elif not (kind == "hook_progress" and self.kinds[-1:] == [kind]):
                self.kinds.append(kind)
            if kind == "run_finished":
                self.end = event.run_finished.state
        self.token = message.resume_token  # covers these events: keep it once they are dealt with

    def interrupted(self, _: Interruption) -> None:
        """Count a connection that broke without our doing."""
        self.connections += 1


def give_it_an_unknown_arm(hook: hook_pb2.HookDefinition) -> None:
    """Set the arm number 11 of `runtime`, as a client of a newer contract would: a parser keeps what it does not know."""
    hook.ClearField("oci")
    config = b"\x0a\x07main.nf"  # field 1, a string
    hook.MergeFromString(bytes([11 << 3 | 2, len(config)]) + config)


def give_it_an_unknown_field(hook: hook_pb2.HookDefinition) -> None:
    """Set field 99 of `oci` to the varint 1."""
    hook.oci.MergeFromString(b"\x98\x06\x01")


def enum_name(enum: Any, value: int) -> str:  # noqa: ANN401 - any enum of the contract
    """Return the name of an enum's value; the number, for one of a newer contract (`Name` would raise)."""
    return str(enum.Name(value)) if value in enum.values() else str(value)


def copy_of(convention: convention_pb2.Convention) -> convention_pb2.Convention:
    """Return a copy that can be changed."""
    copied = convention_pb2.Convention()
    copied.CopyFrom(convention)
    return copied


async def refused(call: Awaitable[object]) -> OsaRpcError:
    """Return the error of a call that must not succeed."""
    try:
        await call
    except OsaRpcError as error:
        return error
    raise AssertionError("it was accepted")


if __name__ == "__main__":
    asyncio.run(main())
