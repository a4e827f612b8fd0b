"""A client of a newer contract at today's server: nothing is dropped in conventions, unknown fields elsewhere are ignored.

See docs/compatibility.md.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from osa_grpc.client import OsaRpcError
from osa_grpc.server.app import Started
from osa_grpc.wire import pb
from tests.clients.foreign_contract import ForeignClient, contract_of_today
from tests.clients.foreign_road import EXPECTED, go_the_road
from tests.clients.newer_contract import (
    LATER,
    later_fields,
    newer_contract,
    newer_descriptors,
    with_later_fields,
)
from tests.fixtures.archive import WAIT, Archive, progress, refusal, rows
from tests.fixtures.documents import ROOT

REGISTER = "ConventionService/RegisterConvention"
Change = Callable[[Any], object]


@pytest.fixture
async def newer(server: Started) -> AsyncIterator[ForeignClient]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield ForeignClient(newer_contract(), channel)


def registration(newer: ForeignClient, archive: Archive, **fields: Any) -> Any:
    """A request of the newer contract that has nothing new in it."""
    convention = {"title": "Shapes", "version": "1.0.0", "hooks": [newer.contract.of(archive.hook())]}
    return newer.contract.request(REGISTER, convention_id="shapes", convention=convention | fields)


async def refused_hook(newer: ForeignClient, archive: Archive, change: Change) -> OsaRpcError:
    """The error for a hook that was changed so; nothing is registered."""
    request = registration(newer, archive)
    change(request.convention.hooks[0])
    error = await refusal(newer.ask(REGISTER, request))
    assert [made async for made in archive.client.list_conventions()] == []
    assert error.code is grpc.StatusCode.UNIMPLEMENTED
    return error


def test_the_newer_contract_is_one_that_the_rules_allow(tmp_path: Path) -> None:
    newer = tmp_path / "newer.binpb"
    newer.write_bytes(newer_descriptors().SerializeToString())
    today = tmp_path / "today.binpb"
    today.write_bytes(contract_of_today())
    buf = Path(sys.executable).with_name("buf")
    command = [buf, "breaking", newer, "--against", today, "--exclude-imports", "--config", ROOT / "buf.yaml"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)


@pytest.mark.parametrize(("oneof", "arm"), [("runtime", "nextflow"), ("feature", "time_series")])
async def test_an_arm_of_a_newer_contract_is_refused_by_the_path_of_its_oneof(
    newer: ForeignClient, archive: Archive, oneof: str, arm: str
) -> None:
    error = await refused_hook(newer, archive, lambda hook: getattr(hook, arm).SetInParent())
    assert error.reason == "UNSUPPORTED_VARIANT"
    assert [v.field for v in error.violations] == [f"convention.hooks[0].{oneof}"]
    known = await archive.client.server_info()
    assert arm not in (*known.runtimes, *known.feature_kinds), "a client can ask before"


INSIDE = {
    "": lambda hook: hook,
    ".oci": lambda hook: hook.oci,
    ".oci.limits": lambda hook: hook.oci.limits,
    ".table": lambda hook: hook.table,
    ".table.columns[0]": lambda hook: hook.table.columns[0],
}


@pytest.mark.parametrize("where", INSIDE)
async def test_a_field_of_a_newer_contract_is_refused_wherever_it_is_in_a_hook_definition(
    newer: ForeignClient, archive: Archive, where: str
) -> None:
    error = await refused_hook(
        newer, archive, lambda hook: setattr(INSIDE[where](hook), "later", "a limit, say")
    )
    assert error.reason == "UNSUPPORTED_FIELD"
    assert [v.field for v in error.violations] == [f"convention.hooks[0]{where}"]
    assert str(LATER) in error.message


ENUMS_INSIDE: dict[str, Change] = {
    ".table.cardinality": lambda hook: setattr(hook.table, "cardinality", LATER),
    ".table.columns[0].json_type": lambda hook: setattr(hook.table.columns[0], "json_type", LATER),
}


@pytest.mark.parametrize("where", ENUMS_INSIDE)
async def test_an_enum_value_of_a_newer_contract_is_refused_in_a_hook_definition(
    newer: ForeignClient, archive: Archive, where: str
) -> None:
    error = await refused_hook(newer, archive, ENUMS_INSIDE[where])
    assert error.reason == "UNSUPPORTED_VALUE"
    assert [v.field for v in error.violations] == [f"convention.hooks[0]{where}"]


async def test_what_is_refused_is_refused_with_validate_only_too(
    newer: ForeignClient, archive: Archive
) -> None:
    request = registration(newer, archive)
    request.validate_only = True
    request.convention.hooks[0].oci.later = "a limit, say"
    error = await refusal(newer.ask(REGISTER, request))
    assert error.reason == "UNSUPPORTED_FIELD"


INSIDE_CONVENTION: dict[str, dict[str, Any]] = {
    "convention": {"later": "a review by two, say"},
    "convention.metadata_schema[0]": {
        "metadata_schema": [{"name": "x", "json_type": pb.JSON_TYPE_STRING, "later": "a pattern, say"}]
    },
    "convention.file_requirements": {"file_requirements": {"later": "a size of all files, say"}},
}


@pytest.mark.parametrize("where", INSIDE_CONVENTION)
async def test_a_field_of_a_newer_contract_is_refused_wherever_it_is_in_a_convention(
    newer: ForeignClient, archive: Archive, where: str
) -> None:
    error = await refusal(newer.ask(REGISTER, registration(newer, archive, **INSIDE_CONVENTION[where])))
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_FIELD")
    assert [v.field for v in error.violations] == [where]
    assert [made async for made in archive.client.list_conventions()] == []


async def test_fields_of_a_newer_contract_outside_of_conventions_are_ignored_on_the_whole_road(
    newer: ForeignClient, archive: Archive
) -> None:
    def answered(response: Any) -> None:
        assert list(later_fields(response)) == [], "today's server has nothing to say there"

    seen = await go_the_road(newer, archive, dressed=with_later_fields, answered=answered)
    assert seen == EXPECTED


async def test_a_request_with_ignored_fields_is_the_same_request_when_it_is_sent_again(
    newer: ForeignClient, archive: Archive
) -> None:
    request = with_later_fields(registration(newer, archive))
    request.request_id = "once"
    first = await newer.ask(REGISTER, request)
    assert await newer.ask(REGISTER, request) == first


async def test_an_enum_value_of_a_newer_contract_is_refused_in_any_request(
    newer: ForeignClient, archive: Archive
) -> None:
    fields: dict[str, dict[str, Any]] = {
        "convention.review": {"review": LATER},
        "convention.metadata_schema[0].json_type": {"metadata_schema": [{"name": "x", "json_type": LATER}]},
    }
    for path, field in fields.items():
        error = await refusal(newer.ask(REGISTER, registration(newer, archive, **field)))
        assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_VALUE")
        assert [v.field for v in error.violations] == [path]
    convention = await archive.convention(review=pb.REVIEW_MODE_MANUAL)
    run = await archive.start(convention, check=rows())
    await archive.until(run, "review_requested")
    error = await refusal(newer.ask("RunService/ReviewRun", name=run, decision=LATER))
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_VALUE")
    assert (await archive.client.get_run(run)).state == pb.RUN_STATE_AWAITING_REVIEW


async def test_a_start_of_a_watch_that_is_not_known_starts_with_the_first_event(
    newer: ForeignClient, archive: Archive
) -> None:
    over = await archive.finish(await archive.convention(), check=progress("on"))
    answers = await newer.ask_for_all("RunService/WatchRun", name=over.name, later_arm="somewhere")
    assert [event.sequence for answer in answers for event in answer.events] == [1, 2, 3, 4, 5, 6]


async def test_a_piece_of_an_upload_that_is_not_known_is_refused_and_nothing_is_kept(
    newer: ForeignClient, archive: Archive
) -> None:
    draft = await archive.draft(await archive.convention())
    piece = newer.contract.message("UploadFileRequest")
    pieces = [
        piece(header={"parent": draft, "file_name": "a.sh"}),
        piece(later_arm="more"),
        piece(chunk=b"x"),
    ]
    error = await refusal(newer.ask("DepositionService/UploadFile", *pieces))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [file async for file in archive.client.list_files(draft)] == []


async def test_an_rpc_of_a_newer_contract_is_unimplemented(newer: ForeignClient, archive: Archive) -> None:
    run = await archive.start(await archive.convention(), check=WAIT)
    error = await refusal(newer.ask("RunService/PauseRun", name=run))
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "")
    await archive.client.cancel_run(run)
