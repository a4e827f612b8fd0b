"""Today's Python client and programs at a server of a newer contract: what they do not know does not stop them.

See docs/compatibility.md.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner, Result

from osa_grpc.cli import exit_codes
from osa_grpc.cli.main import cli
from osa_grpc.client import BlockingClient, Client, Interruption, UnknownKindError
from osa_grpc.wire import pb
from tests.clients.foreign_contract import Contract
from tests.clients.newer_contract import LATER, newer_contract, with_later_fields
from tests.clients.newer_server import ComeAgainError, newer_server

RUN = "runs/8f4b2c86-8a55-4e0c-9a66-3f3a6f2f0f7e"


@dataclass
class Newer:
    """A newer server with a run whose kinds of events, enum values, control and closing reason are partly new."""

    contract: Contract
    address: str = ""
    watched_from: list[str] = field(default_factory=list)
    """The token of each call of WatchRun."""

    def events(self) -> list[Any]:
        of = self.contract.message("RunEvent")
        failure = {"kind": LATER, "message": "it rained"}
        return [
            of(sequence=1, run_started={}),
            of(sequence=2, run_paused={"text": "for lunch"}),
            of(sequence=3, hook_started={"hook": "check", "attempt": 1}),
            of(sequence=4, hook_finished={"hook": "check", "verdict": LATER, "failure": failure}),
            of(sequence=5, reviewed={"decision": LATER, "reason": "who knows"}),
            of(sequence=6, run_finished={"state": LATER}),
        ]

    def watch_run(self, request: Any) -> Iterator[Any]:
        """The events two by two; after the first two it closes for a reason of its own."""
        self.watched_from.append(request.resume_token)
        seen = int(request.resume_token or 0)
        for end in range(seen + 2, 7, 2):
            answer = self.contract.response(
                "RunService/WatchRun",
                events=self.events()[end - 2 : end],
                resume_token=str(end),
                later_arm="there is more to say",
            )
            yield with_later_fields(answer, but="HookDefinition")
            if not seen:
                closing = {"reason": LATER, "retry_delay": {"nanos": 1_000_000}}
                yield self.contract.response("RunService/WatchRun", resume_token=str(end), closing=closing)
                raise ComeAgainError("watch on with the last token")

    def get_run(self, _: Any) -> Iterator[Any]:
        execution = {"name": f"{RUN}/executions/check", "hook": "check", "state": LATER}
        run = {"name": RUN, "state": LATER, "trial": "once", "executions": [execution]}
        run["review"] = {"decision": LATER}
        yield with_later_fields(self.contract.response("RunService/GetRun", run=run, resume_token="0"))

    def query_features(self, _: Any) -> Iterator[Any]:
        columns = [{"name": "size", "type": "COLUMN_TYPE_NUMBER"}, {"name": "place", "type": LATER}]
        rows = [{"values": [{"number": 1.5}, {"later_arm": "52.2 N 0.1 E"}]}]
        yield self.contract.response("FeatureService/QueryFeatures", columns=columns, rows=rows)

    def watch_convention(self, _: Any) -> Iterator[Any]:
        for state in (pb.CONVENTION_STATE_PENDING, LATER):
            convention = {"name": "conventions/shapes@1.0.0", "state": state}
            yield self.contract.response("ConventionService/WatchConvention", convention=convention)


@pytest.fixture
async def newer() -> AsyncIterator[Newer]:
    made = Newer(newer_contract())
    answers = {
        "RunService/WatchRun": made.watch_run,
        "RunService/GetRun": made.get_run,
        "FeatureService/QueryFeatures": made.query_features,
        "ConventionService/WatchConvention": made.watch_convention,
    }
    async with newer_server(made.contract, answers) as made.address:
        yield made


@pytest.fixture
async def client(newer: Newer) -> AsyncIterator[Client]:
    async with Client(newer.address) as connected:
        yield connected


async def osa(newer: Newer, *arguments: str) -> Result:
    """The program, called with this server."""
    runner = CliRunner(env={"OSA_SERVER": newer.address})
    return await asyncio.to_thread(runner.invoke, cli, arguments)


def known_kinds(events: list[pb.RunEvent]) -> list[str | None]:
    return [event.WhichOneof("kind") for event in events]


KINDS = ["run_started", None, "hook_started", "hook_finished", "reviewed", "run_finished"]


async def test_a_watch_goes_on_past_an_event_whose_kind_it_does_not_know(
    newer: Newer, client: Client
) -> None:
    events = [event async for event in client.watch_run(RUN)]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert known_kinds(events) == KINDS


async def test_a_watch_that_blocks_goes_on_as_well(newer: Newer) -> None:
    def watched() -> list[pb.RunEvent]:
        with BlockingClient(newer.address) as blocking:
            return list(blocking.watch_run(RUN))

    assert known_kinds(await asyncio.to_thread(watched)) == KINDS


async def test_a_watch_resumes_after_closing_for_a_reason_it_does_not_know(
    newer: Newer, client: Client
) -> None:
    interruptions: list[Interruption] = []
    async for _ in client.watch_run(RUN, on_interruption=interruptions.append):
        pass
    assert newer.watched_from == ["", "2"]
    assert [interruption.error for interruption in interruptions] == [None]


async def test_an_enum_value_that_is_not_known_comes_as_its_number(newer: Newer, client: Client) -> None:
    run = await client.get_run(RUN)
    assert run.state == LATER
    assert run.executions[0].state == LATER
    events = [event async for event in client.watch_run(RUN)]
    assert events[3].hook_finished.verdict == LATER
    assert events[3].hook_finished.failure.kind == LATER
    assert events[5].run_finished.state == LATER


async def test_what_an_arm_that_is_not_known_holds_is_kept_in_the_message(
    newer: Newer, client: Client
) -> None:
    events = [event async for event in client.watch_run(RUN)]
    run = await client.get_run(RUN)
    assert run.WhichOneof("source") is None
    assert newer.contract.of(run).trial == "once"
    assert newer.contract.of(events[1]).run_paused.text == "for lunch"


async def test_the_watch_of_a_convention_ends_with_the_stream_also_in_a_state_that_is_not_known(
    newer: Newer, client: Client
) -> None:
    assert (await client.wait_until_ready("conventions/shapes@1.0.0")).state == LATER


async def test_a_value_whose_kind_is_not_known_is_never_taken_for_null(newer: Newer, client: Client) -> None:
    with pytest.raises(UnknownKindError, match="a newer client is needed"):
        async for _ in client.query("featureTables/check"):
            pass
    result = await osa(newer, "feature", "query", "check")
    assert result.exit_code == exit_codes.UNEXPECTED
    assert result.stderr.startswith("error: a value of a kind that this client does not know")


async def test_the_program_tells_a_run_as_far_as_it_understands_it(newer: Newer) -> None:
    result = await osa(newer, "run", "watch", RUN)
    said = result.output.splitlines()
    assert said[2].startswith("connection lost (the server asked for it), resuming in ")
    assert [said[1], *said[3:]] == [
        "started",
        "check: started",
        "check: 900 after 0.0 s: 900: it rained",
        "900 by a person: who knows",
        "ended as 900",
    ]
    assert result.exit_code == exit_codes.UNEXPECTED, (
        "whoever does not know the end must not take it for success"
    )


async def test_the_program_shows_numbers_for_values_it_does_not_know(newer: Newer) -> None:
    shown = await osa(newer, "run", "get", RUN)
    assert "\nstate:  900\n" in shown.output
    assert "\nreview: 900 by a person\n" in shown.output
    assert shown.exit_code == exit_codes.OK
    run = json.loads((await osa(newer, "run", "get", RUN, "--output", "json")).output)
    assert (run["name"], run["state"]) == (RUN, LATER)


async def test_the_program_gives_programs_every_event_also_those_it_does_not_know(newer: Newer) -> None:
    result = await osa(newer, "run", "watch", RUN, "--output", "json")
    events = [json.loads(line) for line in result.output.splitlines()]
    assert [event["sequence"] for event in events] == ["1", "2", "3", "4", "5", "6"]
    assert events[5]["runFinished"]["state"] == LATER
    assert result.exit_code == exit_codes.UNEXPECTED
