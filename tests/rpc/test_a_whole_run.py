"""From a draft to rows, and what is seen on the way."""

from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, kinds, progress, rows


async def test_a_run_is_seen_while_it_runs_and_its_rows_once_it_has_finished(archive: Archive) -> None:
    convention = await archive.convention()
    script = progress("reading") + WAIT + rows('{"score": 1.5}', '{"score": null}')
    deposition = await archive.draft(convention, scripts={"check": script})
    submitted = await archive.client.submit_deposition(deposition)
    assert submitted.state == pb.RUN_STATE_PENDING
    await archive.until(submitted.name, "hook_started")

    running = await archive.client.get_run(submitted.name)
    [execution] = running.executions
    assert running.state == pb.RUN_STATE_RUNNING
    assert execution.state == pb.HOOK_EXECUTION_STATE_RUNNING
    assert (await archive.client.get_deposition(deposition)).state == pb.DEPOSITION_STATE_SUBMITTED

    archive.go(submitted.name)
    run = await archive.end_of(submitted.name)
    [execution] = run.executions
    assert run.state == pb.RUN_STATE_COMPLETED
    assert (execution.verdict, execution.row_count) == (pb.VERDICT_PASSED, 2)
    assert execution.provenance.oci.image_id == archive.image_id
    found = [row async for row in archive.client.query("featureTables/check", order_by="score")]
    assert [row["score"] for row in found] == [1.5, None]
    record = await archive.client.get_record(run.record)
    assert {row["record_srn"] for row in found} == {record.srn}
    assert {str(row["execution_id"]) for row in found} == {execution.execution_id}
    assert kinds(await archive.history(run.name)) == [
        "run_started",
        "hook_started",
        "hook_progress",
        "hook_finished",
        "record_published",
        "run_finished",
    ]


async def test_a_hook_that_asks_for_more_processors_than_there_are_gets_all_and_provenance_says_so(
    archive: Archive,
) -> None:
    engine = (await archive.client.server_info()).engine
    convention = await archive.convention(archive.hook(cpu="1000"))
    over = await archive.finish(convention, check=rows('{"score": 1}'))
    assert over.state == pb.RUN_STATE_COMPLETED
    assert float(over.executions[0].provenance.oci.limits.cpu) == engine.cpus
    registered = await archive.client.get_convention(convention)
    assert registered.hooks[0].oci.limits.cpu == "1000", "what was asked for stays as it was said"
