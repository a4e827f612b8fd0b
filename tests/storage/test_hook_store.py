from dataclasses import replace

import pytest

from osa_grpc.application.storage_ports import PageRequest
from osa_grpc.domain.hook_summary import VerdictCounts
from osa_grpc.domain.names import ConventionRef
from osa_grpc.domain.position import PositionError
from osa_grpc.domain.run import HookExecutionState, Verdict
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import a_run, definition, hook

OLDER, NEWER = ConventionRef(id="a", version="1.0.0"), ConventionRef(id="b", version="1.0.0")


async def test_a_hook_that_no_convention_has_is_not_there_though_its_table_is(
    storage: PostgresStorage,
) -> None:
    async with storage.transaction() as tx:
        await tx.feature_tables.create_table(hook("lonely"))
        assert await tx.hooks.find("lonely") is None
        assert (await tx.hooks.list(PageRequest(size=10))).items == []
        assert (await tx.hooks.list_uses("lonely", PageRequest(size=10))).items == []


async def test_a_hook_is_what_the_latest_of_its_conventions_says(storage: PostgresStorage) -> None:
    first = hook("summary")
    second = first.model_copy(update={"runtime": first.runtime.model_copy(update={"image": "example/other"})})
    async with storage.transaction() as tx:
        older = await tx.conventions.insert(definition(OLDER, first))
    async with storage.transaction() as tx:
        newer = await tx.conventions.insert(definition(NEWER, second, hook("chains")))
    async with storage.reading() as tx:
        found = await tx.hooks.find("summary")
        uses = await tx.hooks.list_uses("summary", PageRequest(size=10))
    assert found is not None
    assert (found.definition, found.convention_count) == (second, 2)
    assert (found.created_at, found.updated_at) == (older.created_at, newer.created_at)
    assert found.verdict_counts == VerdictCounts()
    assert [(use.convention, use.definition) for use in uses.items] == [(NEWER, second), (OLDER, first)]


async def test_only_verdicts_are_counted(storage: PostgresStorage) -> None:
    verdicts = [Verdict.PASSED, Verdict.PASSED, Verdict.REJECTED, Verdict.FAILED, None]
    for verdict in verdicts:
        async with storage.transaction() as tx:
            run = await a_run(tx)
            summary, chains = run.executions
            state = HookExecutionState.RUNNING if verdict is None else HookExecutionState.FINISHED
            judged = summary.model_copy(update={"state": state, "verdict": verdict})
            await tx.runs.save(run.model_copy(update={"executions": (judged, chains)}))
    async with storage.reading() as tx:
        [chains_found, found] = (await tx.hooks.list(PageRequest(size=10))).items
    assert found.verdict_counts == VerdictCounts(passed=2, rejected=1, failed=1)
    assert chains_found.verdict_counts == VerdictCounts()


async def test_pages_lose_nothing(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        for n in range(4):
            ref = ConventionRef(id="a", version=f"{n}.0.0")
            await tx.conventions.insert(definition(ref, hook("summary"), hook(f"h{n}")))
    async with storage.reading() as tx:
        page = PageRequest(size=2)
        names: list[str] = []
        while True:
            listed = await tx.hooks.list(page)
            names += [found.definition.name for found in listed.items]
            if listed.after is None:
                break
            page = replace(page, after=listed.after)
        assert names == ["h0", "h1", "h2", "h3", "summary"]
        uses = await tx.hooks.list_uses("summary", PageRequest(size=3))
        rest = await tx.hooks.list_uses("summary", PageRequest(size=3, after=uses.after))
    assert [use.convention.version for use in (*uses.items, *rest.items)] == [
        "3.0.0",
        "2.0.0",
        "1.0.0",
        "0.0.0",
    ]


@pytest.mark.parametrize("position", [[], ["x"], ["1"], ['"a"', '"b"'], ['"2026-01-01T00:00:00Z"', '"a"']])
async def test_a_position_that_no_page_gave_is_refused(storage: PostgresStorage, position: list[str]) -> None:
    async with storage.reading() as tx:
        with pytest.raises(PositionError):
            await tx.hooks.list(PageRequest(size=1, after=position))
        with pytest.raises(PositionError):
            await tx.hooks.list_uses("summary", PageRequest(size=1, after=position))
        with pytest.raises(PositionError):
            await tx.conventions.list(PageRequest(size=1, after=position))
        with pytest.raises(PositionError):
            await tx.feature_tables.list(PageRequest(size=1, after=position))
