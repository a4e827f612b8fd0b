"""Which run a worker takes up next."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import pytest

from osa_grpc.application.storage_ports import RunLease, WorkerId
from osa_grpc.domain.names import ConventionRef, RunId
from osa_grpc.domain.run import RunState
from osa_grpc.storage.statements import Statements
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import LONG, ONE, OTHER, OVERDUE, a_run, stepped

X, Y, Z = (ConventionRef(id=f"convention-{name}", version="1.0.0") for name in "xyz")


async def waiting(storage: PostgresStorage, convention: ConventionRef, count: int = 1) -> list[RunId]:
    """Runs that are PENDING, the oldest first."""
    runs = []
    for _ in range(count):
        async with storage.transaction() as tx:
            runs.append((await a_run(tx, convention=convention)).id)
    return runs


async def claimed(storage: PostgresStorage, duration: timedelta = LONG, worker: WorkerId = ONE) -> RunLease:
    async with storage.transaction() as tx:
        lease = await tx.runs.claim(worker, duration)
    assert lease is not None
    return lease


async def step(storage: PostgresStorage, run: RunId, *states: RunState) -> None:
    async with storage.transaction() as tx:
        found = await tx.runs.lock_unleased(run)
        assert found is not None
        for state in states:
            found = await stepped(tx, found, state)
            await tx.runs.save(found)


@pytest.mark.parametrize(
    "way",
    [(RunState.RUNNING,), (RunState.RUNNING, RunState.PUBLISHING), (RunState.CANCELLING,)],
    ids=lambda way: way[-1],
)
async def test_what_was_under_way_comes_before_what_waits(
    storage: PostgresStorage, way: tuple[RunState, ...]
) -> None:
    await waiting(storage, X)
    [younger] = await waiting(storage, Y)
    await step(storage, younger, *way)
    assert (await claimed(storage)).run == younger


async def test_an_overdue_run_comes_before_what_waits_and_one_that_is_held_does_not_come(
    storage: PostgresStorage,
) -> None:
    [overdue, held, pending] = await waiting(storage, X, 3)
    for run, duration in ((overdue, OVERDUE), (held, LONG)):
        await step(storage, run, RunState.RUNNING)
        assert (await claimed(storage, duration)).run == run
        if duration is OVERDUE:
            assert (await claimed(storage)).run == run, "and again, by whoever comes"
    assert (await claimed(storage)).run == pending
    async with storage.transaction() as tx:
        assert await tx.runs.claim(OTHER, LONG) is None


async def test_a_worker_that_went_away_before_it_began_its_run_does_not_keep_it(
    storage: PostgresStorage,
) -> None:
    [run] = await waiting(storage, X)
    await claimed(storage, OVERDUE)
    assert (await claimed(storage, worker=OTHER)).run == run


async def test_the_convention_of_which_the_fewest_runs_are_held_comes_next(storage: PostgresStorage) -> None:
    many = await waiting(storage, X, 6)
    assert [(await claimed(storage)).run for _ in range(2)] == many[:2]
    few = await waiting(storage, Y, 2)
    one = await waiting(storage, Z)
    assert [(await claimed(storage)).run for _ in range(6)] == [few[0], one[0], few[1], *many[2:5]]


async def test_among_equals_the_oldest_comes_next(storage: PostgresStorage) -> None:
    runs = [run for convention in (Y, Z, X) for run in await waiting(storage, convention)]
    assert [(await claimed(storage)).run for _ in range(3)] == runs


async def test_versions_of_a_convention_have_each_their_turn(storage: PostgresStorage) -> None:
    old = await waiting(storage, X, 2)
    new = await waiting(storage, ConventionRef(id=X.id, version="2.0.0"))
    assert [(await claimed(storage)).run for _ in range(3)] == [old[0], new[0], old[1]]


async def test_a_run_that_is_over_or_overdue_is_not_held(storage: PostgresStorage) -> None:
    xs = await waiting(storage, X, 4)
    for _ in range(2):
        lease = await claimed(storage)
        await step(storage, lease.run, RunState.RUNNING, RunState.REJECTED)
    assert (await claimed(storage)).run == xs[2]
    [y] = await waiting(storage, Y)
    assert (await claimed(storage, OVERDUE)).run == y
    assert (await claimed(storage)).run == y, "nothing of Y is held, one of X is"


async def test_a_worker_that_finds_the_chosen_run_locked_takes_the_next(storage: PostgresStorage) -> None:
    [first, second] = await waiting(storage, X, 2)
    [other] = await waiting(storage, Y)
    async with storage.transaction() as holder:
        await holder.runs.lock_unleased(first)
        assert (await claimed(storage)).run == second
        assert (await claimed(storage)).run == other
        async with storage.transaction() as tx:
            assert await tx.runs.claim(ONE, LONG) is None
    assert (await claimed(storage)).run == first


async def test_a_worker_that_finds_what_was_under_way_locked_takes_what_waits(
    storage: PostgresStorage,
) -> None:
    [under_way, pending] = await waiting(storage, X, 2)
    await step(storage, under_way, RunState.RUNNING)
    async with storage.transaction() as holder:
        await holder.runs.lock_unleased(under_way)
        assert (await claimed(storage)).run == pending


async def test_a_claim_locks_no_other_run(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    for convention in (X, Y, Z):
        await waiting(storage, convention, 3)
    async with storage.transaction() as tx:
        lease = await tx.runs.claim(ONE, LONG)
        unlocked = await connection.fetch("SELECT id FROM osa.run FOR UPDATE SKIP LOCKED")
    assert lease is not None
    assert len(unlocked) == 8


async def test_many_workers_take_up_every_run_once_and_find_one_while_there_is_any(
    storage: PostgresStorage,
) -> None:
    runs = {run for convention in (X, Y, Z) for run in await waiting(storage, convention, 25)}

    async def work(worker: WorkerId) -> list[RunId]:
        mine: list[RunId] = []
        while True:
            async with storage.transaction() as tx:
                lease = await tx.runs.claim(worker, LONG)
                await asyncio.sleep(0)  # the others come between the claim and its commit
            if lease is None:
                return mine
            mine.append(lease.run)

    claims = await asyncio.gather(*(work(WorkerId(f"worker {n}")) for n in range(12)))
    assert sorted(run for mine in claims for run in mine) == sorted(runs)


async def test_a_claim_costs_the_same_however_many_runs_wait(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    for convention in (X, Y, Z):
        await waiting(storage, convention)
    before = await blocks_read(connection)
    await connection.execute(
        """
        INSERT INTO osa.run (id, source, convention_id, convention_version, state, created_at)
        SELECT gen_random_uuid(), source, convention_id, convention_version, state, created_at + n * interval '1 ms'
        FROM osa.run CROSS JOIN generate_series(1, 20000) AS n WHERE convention_id = $1
        """,
        X.id,
    )
    assert await blocks_read(connection) < before + 40, "20,000 runs are hundreds of blocks"
    await connection.execute("ANALYZE osa.run")
    assert await blocks_read(connection) < before + 40


async def test_runs_that_wait_for_their_time_cost_a_claim_nothing(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    [run] = await waiting(storage, X)
    before = await blocks_read(connection)
    await connection.execute(
        """
        INSERT INTO osa.run (id, source, convention_id, convention_version, state, created_at, waits_until)
        SELECT gen_random_uuid(), source, convention_id, convention_version, 'RUNNING', created_at, now() + n * interval '1 h'
        FROM osa.run CROSS JOIN generate_series(1, 20000) AS n
        """
    )
    assert await blocks_read(connection) < before + 40
    assert (await claimed(storage)).run == run


async def test_of_runs_whose_time_has_come_the_one_that_waited_longest_for_it_comes_first(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    runs = await waiting(storage, X, 3)
    for run in runs:
        await step(storage, run, RunState.RUNNING)
    for run, ago in zip(runs[:2], ("1 s", "2 s"), strict=True):
        await connection.execute(
            "UPDATE osa.run SET waits_until = now() - $2::text::interval WHERE id = $1", run, ago
        )
    claims = [(await claimed(storage)).run for _ in range(3)]
    assert claims == [runs[2], runs[1], runs[0]], "one that does not wait comes before them"


async def blocks_read(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    """How many blocks a claim looks at."""
    claim = Statements("run.sql")["claim"].replace("$1", "'somebody'").replace("$2", "'1 hour'")
    undone = connection.transaction()
    await undone.start()
    [plan] = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claim}"))
    await undone.rollback()
    read: int = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return read
