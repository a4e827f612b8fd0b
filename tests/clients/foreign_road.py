"""The road from a convention to the rows, gone by a client of another contract with no code but what its descriptors make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from tests.clients.foreign_contract import ForeignClient
from tests.fixtures.archive import Archive, progress, rows

HOOK = "measure"
SCRIPT = (
    progress("measuring") + "echo measured\n" + rows(*(f'{{"score": {n}}}' for n in (1, 2, 3)))
).encode()

EXPECTED = {
    "runtimes": ["oci"],
    "found after validate_only": False,
    "state": "CONVENTION_STATE_READY",
    "again": True,
    "file": hashlib.sha256(SCRIPT).hexdigest(),
    "submitted": "RUN_STATE_PENDING",
    "kinds": [
        "run_started",
        "hook_started",
        "hook_progress",
        "hook_finished",
        "record_published",
        "run_finished",
    ],
    "sequences": [1, 2, 3, 4, 5, 6],
    "end": "RUN_STATE_COMPLETED",
    "log": b"measured\n",
    "pages": [[3.0, 2.0], [1.0]],
    "downloaded": SCRIPT,
    "listed": True,
}
"""What whoever goes the road must see."""


async def go_the_road(
    client: ForeignClient,
    archive: Archive,
    *,
    dressed: Callable[[Any], Any] = lambda request: request,
    answered: Callable[[Any], None] = lambda _: None,
) -> dict[str, Any]:
    """Go it; return what was seen. Each request is `dressed` before it is sent, and each answer shown to `answered`."""

    async def all_of(method: str, *payloads: dict[str, Any], **fields: Any) -> list[Any]:
        requests = [
            dressed(client.contract.request(method, **payload)) for payload in (payloads or (fields,))
        ]
        answers = await client.ask_for_all(method, *requests)
        for answer in answers:
            answered(answer)
        return answers

    async def one(method: str, *payloads: dict[str, Any], **fields: Any) -> Any:
        (answer,) = await all_of(method, *payloads, **fields)
        return answer

    seen: dict[str, Any] = {}
    seen["runtimes"] = list((await one("ServerService/GetServerInfo")).server_info.runtimes)

    register = "ConventionService/RegisterConvention"
    convention = {
        "title": "Shapes",
        "version": "1.0.0",
        "metadata_schema": [{"name": "colour", "json_type": "JSON_TYPE_STRING", "required": True}],
        "file_requirements": {"min_count": 1, "extensions": [".sh"]},
        "hooks": [client.contract.of(archive.hook(HOOK))],
    }
    asked = await one(register, convention_id="shapes", convention=convention, validate_only=True)
    listed = (await one("ConventionService/ListConventions")).conventions
    seen["found after validate_only"] = asked.convention.name in [item.name for item in listed]
    name = (await one(register, convention_id="shapes", convention=convention)).convention.name
    states = [a.convention for a in await all_of("ConventionService/WatchConvention", name=name)]
    seen["state"] = enum_name(states[-1], "state")
    again = (await one(register, convention_id="shapes", convention=convention)).convention
    seen["again"] = again == states[-1]

    draft = (
        await one(
            "DepositionService/CreateDeposition",
            deposition={"convention": name, "metadata": {"colour": "red"}},
        )
    ).deposition
    header = {
        "parent": draft.name,
        "file_name": f"{HOOK}.sh",
        "size_bytes": len(SCRIPT),
        "sha256": hashlib.sha256(SCRIPT).hexdigest(),
    }
    chunks = [{"chunk": SCRIPT[at : at + 16]} for at in range(0, len(SCRIPT), 16)]
    file = (await one("DepositionService/UploadFile", {"header": header}, *chunks)).file
    seen["file"] = file.sha256
    submitted = await one("DepositionService/SubmitDeposition", name=draft.name)
    run = submitted.run
    seen["submitted"] = enum_name(run, "state")

    watched = await all_of("RunService/WatchRun", name=run.name, resume_token=submitted.resume_token)
    # once more, from the token of the first message that had events
    token = next(message.resume_token for message in watched if message.events)
    before = next(message for message in watched if message.events).events
    after = await all_of("RunService/WatchRun", name=run.name, resume_token=token)
    events = [*before, *(event for message in after for event in message.events)]
    seen["kinds"] = [event.WhichOneof("kind") for event in events]
    seen["sequences"] = [event.sequence for event in events]
    seen["end"] = enum_name(events[-1].run_finished, "state")

    pieces = await all_of("RunService/ReadRunLog", name=f"{run.name}/executions/{HOOK}")
    seen["log"] = b"".join(piece.data or piece.text.encode() for piece in pieces)
    query = {
        "feature_table": f"featureTables/{HOOK}",
        "filter": "score > 0",
        "order_by": "score desc",
        "columns": ["score"],
        "page_size": 2,
    }
    page = await one("FeatureService/QueryFeatures", **query)
    rest = await one("FeatureService/QueryFeatures", **query, page_token=page.next_page_token)
    seen["pages"] = [[row.values[0].number for row in part.rows] for part in (page, rest)]
    pieces = await all_of("DepositionService/DownloadFile", name=file.name)
    seen["downloaded"] = b"".join(piece.data for piece in pieces)
    runs = (await one("RunService/ListRuns", filter='state = "COMPLETED"')).runs
    seen["listed"] = [item.name for item in runs] == [run.name]
    return seen


def enum_name(message: Any, field: str) -> str:
    """The name of an enum's value, in the contract of the message."""
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    name: str = values[getattr(message, field)].name
    return name
