import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osa_grpc.application.places import Places
from osa_grpc.domain.names import ConventionRef

X, Y, Z = (ConventionRef(id=name, version="1.0.0") for name in "xyz")


class Crowd:
    """Hooks that come for places, hold them until told to leave, or give up; `order` has those that got one, as they did.

    `gives_up_meanwhile`: who is cancelled in the very moment in which another has left, before anybody else has moved.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.conventions: dict[int, ConventionRef] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.may_leave: dict[int, asyncio.Event] = {}
        self.gives_up_meanwhile: dict[int, int] = {}
        self.holding: list[int] = []
        self.order: list[int] = []

    def come(self, convention: ConventionRef, *, at_once: bool = False) -> int:
        number = len(self.conventions)
        self.conventions[number] = convention
        self.may_leave[number] = asyncio.Event()
        self.tasks[number] = asyncio.create_task(self._hold(number, at_once=at_once))
        return number

    async def _hold(self, number: int, *, at_once: bool) -> None:
        async with self.places.place(self.conventions[number], at_once=at_once):
            self.holding.append(number)
            self.order.append(number)
            try:
                await self.may_leave[number].wait()
            finally:
                self.holding.remove(number)
        if number in self.gives_up_meanwhile:
            self.tasks[self.gives_up_meanwhile[number]].cancel()

    @property
    def waiting(self) -> list[int]:
        return [n for n, task in self.tasks.items() if not task.done() and n not in self.holding]

    def held(self) -> Counter[ConventionRef]:
        return Counter(self.conventions[n] for n in self.holding)

    async def everybody_has_had_a_turn_to_move(self) -> None:
        for _ in range(5):  # an event, a future, a task: each one turn of the loop
            await asyncio.sleep(0)


@asynccontextmanager
async def crowd_at(count: int) -> AsyncIterator[Crowd]:
    crowd = Crowd(Places(count))
    try:
        yield crowd
    finally:
        for task in crowd.tasks.values():
            task.cancel()
        await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)


async def test_a_place_is_there_until_all_are_taken() -> None:
    async with crowd_at(2) as crowd:
        crowd.come(X)
        await crowd.everybody_has_had_a_turn_to_move()
        are_all_taken = [crowd.places.are_all_taken]
        crowd.come(X)
        third = crowd.come(X)
        await crowd.everybody_has_had_a_turn_to_move()
        are_all_taken.append(crowd.places.are_all_taken)
        assert are_all_taken == [False, True]
        assert crowd.waiting == [third]


async def test_the_one_of_a_small_convention_comes_before_the_many_of_a_large_one() -> None:
    async with crowd_at(2) as crowd:
        many = [crowd.come(X) for _ in range(20)]
        await crowd.everybody_has_had_a_turn_to_move()
        one = crowd.come(Y)
        await crowd.everybody_has_had_a_turn_to_move()
        crowd.may_leave[many[0]].set()
        await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.holding == [many[1], one]


async def test_a_convention_that_comes_late_has_its_turn_after_one_of_those_that_came_before() -> None:
    async with crowd_at(1) as crowd:
        many = [crowd.come(X) for _ in range(5)]
        await crowd.everybody_has_had_a_turn_to_move()
        one = crowd.come(Y)
        await crowd.everybody_has_had_a_turn_to_move()
        crowd.may_leave[many[0]].set()
        await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.holding == [one], "X had the last place"
        others = [crowd.come(Y), crowd.come(Z)]
        await crowd.everybody_has_had_a_turn_to_move()
        for leaving in (one, others[1], many[1]):
            crowd.may_leave[leaving].set()
            await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.order == [many[0], one, others[1], many[1], others[0]]


async def test_among_equals_it_is_whoever_has_waited_longest() -> None:
    async with crowd_at(1) as crowd:
        first = crowd.come(X)
        await crowd.everybody_has_had_a_turn_to_move()
        others = [crowd.come(convention) for convention in (Y, Z, X, Y)]
        await crowd.everybody_has_had_a_turn_to_move()
        for leaving in [first, *others]:
            crowd.may_leave[leaving].set()
            await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.order == [first, *others]


async def test_an_adopted_container_has_its_place_at_once_and_others_wait_until_there_is_room_again() -> None:
    async with crowd_at(1) as crowd:
        first = crowd.come(X)
        adopted = crowd.come(X, at_once=True)
        third = crowd.come(Y)
        await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.holding == [first, adopted]
        crowd.may_leave[first].set()
        await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.holding == [adopted]
        crowd.may_leave[adopted].set()
        await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.holding == [third]


async def test_one_cancelled_in_the_moment_of_being_given_a_place_passes_it_on() -> None:
    async with crowd_at(1) as crowd:
        first, second, third = crowd.come(X), crowd.come(X), crowd.come(X)
        await crowd.everybody_has_had_a_turn_to_move()
        crowd.gives_up_meanwhile[first] = second
        crowd.may_leave[first].set()
        await crowd.everybody_has_had_a_turn_to_move()
        assert crowd.order == [first, third]


async def test_the_place_of_one_that_fails_is_free_again() -> None:
    places = Places(1)
    with pytest.raises(RuntimeError, match="of the hook"):
        async with places.place(X):
            raise RuntimeError("of the hook")
    assert not places.are_all_taken


def test_there_is_always_at_least_one() -> None:
    with pytest.raises(ValueError, match="there must be a place"):
        Places(0)


@dataclass(frozen=True)
class Comes:
    convention: ConventionRef
    is_adopted: bool


@dataclass(frozen=True)
class GivesUp:
    number: int


@dataclass(frozen=True)
class Leaves:
    number: int
    next_gives_up: bool


NUMBERS = st.integers(0, 30)
STEPS = st.lists(
    st.one_of(
        st.builds(Comes, st.sampled_from([X, Y, Z]), st.booleans()),
        st.builds(GivesUp, NUMBERS),
        st.builds(Leaves, NUMBERS, st.booleans()),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(count=st.integers(1, 4), steps=STEPS)
def test_whatever_comes_and_goes_the_places_are_used_shared_and_never_lost(
    count: int, steps: list[Comes | GivesUp | Leaves]
) -> None:
    asyncio.run(_come_and_go(count, steps))


async def _come_and_go(count: int, steps: list[Comes | GivesUp | Leaves]) -> None:
    async with crowd_at(count) as crowd:
        for step in steps:
            had_before = len(crowd.order)
            expected = _do(crowd, step)
            await crowd.everybody_has_had_a_turn_to_move()
            came, held = crowd.order[had_before:], len(crowd.holding)
            if isinstance(step, Comes) and step.is_adopted:
                assert len(came) == 1, "it does not wait"
            else:
                assert held <= count or not came, "above the count"
            assert held >= count or not crowd.waiting, "a place is free and somebody waits"
            assert crowd.places.are_all_taken == (held >= count)
            if isinstance(step, Leaves) and came:
                assert came == [expected], "out of turn"

        while crowd.holding:
            crowd.may_leave[crowd.holding[0]].set()
            await crowd.everybody_has_had_a_turn_to_move()
        assert not crowd.waiting, "somebody was forgotten"
        assert not crowd.places.are_all_taken


def _do(crowd: Crowd, step: Comes | GivesUp | Leaves) -> int | None:
    """Let it happen; return whose turn it is when a place becomes free by it."""
    match step:
        case Comes():
            crowd.come(step.convention, at_once=step.is_adopted)
        case GivesUp():
            if crowd.waiting:
                crowd.tasks[crowd.waiting[step.number % len(crowd.waiting)]].cancel()
        case Leaves() if crowd.holding:
            leaving = crowd.holding[step.number % len(crowd.holding)]
            crowd.may_leave[leaving].set()
            waiting, held = crowd.waiting, crowd.held()
            held[crowd.conventions[leaving]] -= 1
            if waiting and step.next_gives_up:
                crowd.gives_up_meanwhile[leaving] = _whose_turn(crowd, waiting, held)
                waiting.remove(crowd.gives_up_meanwhile[leaving])
            if waiting:
                return _whose_turn(crowd, waiting, held)
    return None


def _whose_turn(crowd: Crowd, waiting: list[int], held: Counter[ConventionRef]) -> int:
    """Of those who wait: of the convention that holds the fewest, and had its last place longest ago, the one who came first."""
    served = {crowd.conventions[n]: when for when, n in enumerate(crowd.order)}
    return min(waiting, key=lambda n: (held[crowd.conventions[n]], served.get(crowd.conventions[n], -1), n))
