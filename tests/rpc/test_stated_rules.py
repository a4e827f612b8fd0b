"""What the contract's comments state about values is what the server enforces: no more, no less, and at the field's path."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osa_grpc.client import Client
from osa_grpc.server.app import Started
from osa_grpc.server.settings import Settings
from osa_grpc.wire.rpc_error import OsaRpcError, error_from_rpc
from tests.fixtures.request_places import RULED_ELSEWHERE, Place, places, registration

PLACES: Final = [place for place in places() if not place.is_ruled_elsewhere]
SPECIAL: Final[Mapping[str, Sequence[str]]] = {
    "memory": ("5m", "6m", "6143k", "6144k", "1024g", "1025g", "0g", "1048576m", "1048577m", "1.5g"),
    "cpu": ("0.01", "0.009", "0", "0.0", "1024", "1024.0", "1024.001", "1025", "1e3", ".5", "1.", "0.0001"),
    "version": (
        "01.0.0", "1.0", "1.0.0-rc.1+b.2", "1.0.0-01", "1.0.0-", "999999999.0.0", "1000000000.0.0", "v1.0.0",
        f"1.0.0-{58 * 'a'}", f"1.0.0-{59 * 'a'}",
    ),
    "format": ("date-time", "date", "uuid", "time", "DATE"),
    "name": ("id", "xmin", "oid", "record_srn", "ctid"),
    "extensions": (".c", ".CIF.gz", "."),
    "file_name": ("..", "-", " ", "a b", f"{127 * 'é'}a", 128 * "é"),
}  # fmt: skip
"""Values that are near the edge of one rule only."""
ANSWERED: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
}
"""How a call ends whose request is well-formed."""


class Asked:
    """A server, asked whether it refuses a value for the sake of its field."""

    def __init__(self, channel: grpc.aio.Channel, deposition: str) -> None:
        self._channel = channel
        self._deposition = deposition

    async def refuses(self, place: Place, value: Any) -> bool:
        """Whether it refuses the request for what is at the place; nothing else may be wrong with it."""
        request: Any = place.request(value)
        if place.method.name == "ListFiles" and place.field.name != "parent":
            request.parent = self._deposition
        if place.method.name == "UpdateDeposition":
            request.deposition.metadata.SetInParent()
        code, fields = await self._call(place, request.SerializeToString())
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            assert fields == {place.at}, f"{place} = {value!r}: refused for {fields}"
            return True
        assert code in ANSWERED, f"{place} = {value!r}: {code}"
        return False

    async def _call(self, place: Place, request: bytes) -> tuple[grpc.StatusCode, set[str]]:
        path = f"/{place.method.containing_service.full_name}/{place.method.name}"
        raw: Sequence[Any] = (lambda data: data, lambda data: data)
        try:
            if place.method.client_streaming:
                await self._channel.stream_unary(path, *raw)(iter([request]))
            elif place.method.server_streaming:
                await self._channel.unary_stream(path, *raw)(request).read()
            else:
                await self._channel.unary_unary(path, *raw)(request)
        except grpc.aio.AioRpcError as error:
            found: OsaRpcError = error_from_rpc(error)
            return found.code, {violation.field for violation in found.violations}
        return grpc.StatusCode.OK, set()


@pytest.fixture
def server_settings(database_dsn: str, data_directory: Path) -> Settings:
    """Without an engine: nothing runs here."""
    return Settings(
        listen="127.0.0.1:0",
        database_url=database_dsn,
        docker_host=f"unix://{data_directory}/no-engine.sock",
        data_directory=data_directory,
        stop_grace_seconds=1,
        drain_seconds=2,
        log_level="error",
    )


@pytest.fixture
async def asked(server: Started, client: Client) -> AsyncIterator[Asked]:
    """`server`, with a convention that has a table, and a deposition."""
    request = registration()
    made = await client.register_convention("none-such", request.convention)
    await client.wait_until_ready(made.name)
    deposition = await client.create_deposition(made.name)
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Asked(channel, deposition.name)


def edges(place: Place) -> list[Any]:
    """Values at the edges of what is stated."""
    rule, base = place.rule, place.base()
    near = {n + by for n in rule.numbers for by in (-1, 0, 1)}
    if place.is_count:
        return sorted(n for n in near if n > 0)
    if isinstance(base, int):
        bits = 31 if place.field.type == FieldDescriptor.TYPE_INT32 else 63
        return sorted({*near, -1, 0, -(2**bits), 2**bits - 1})
    lengths = sorted(n for n in near if n > len(base))
    if place.field.name in {"filter", "order_by"}:  # their languages have tests of their own
        return ["", base, *(base.ljust(n) for n in lengths)]
    padded = [base + with_ * (n - len(base)) for n in lengths for with_ in (base[-1], "é", "😀")]
    spoilt = [
        changed
        for c in ("\n", "\0", " ", "é", "٣", "/", "\\", "\u200b", "\u2028", "@", ".", "A", "_", "-", "0")
        for changed in (c, f"{base}{c}")
    ]
    return list(
        dict.fromkeys(
            [
                "",
                base,
                base[1:],
                base[:-1],
                f"\n{base}",
                f" {base}",
                *spoilt,
                *padded,
                *SPECIAL.get(place.field.name, ()),
            ]
        )
    )


def test_a_rule_is_stated_for_every_field() -> None:
    assert len(PLACES) > 80, "the walk found the requests"
    unstated = {f"{place}: {place.rule.comment}" for place in PLACES if not place.rule.phrases}
    assert unstated == set()


def test_what_no_phrase_is_about_is_still_there() -> None:
    elsewhere = [place.at for place in places() if place.is_ruled_elsewhere]
    assert {end for end in RULED_ELSEWHERE if not any(at.endswith(end) for at in elsewhere)} == set()


def _few(place: Place, values: Sequence[Any]) -> list[Any]:
    """Two values that are allowed, and two that are not."""
    return [
        value
        for kind in (True, False)
        for value in [found for found in values if place.allows(found) == kind][:2]
    ]


@pytest.mark.timeout(600)
async def test_a_value_is_refused_at_the_edges_of_what_is_stated(asked: Asked) -> None:
    wrong = []
    tried: set[str] = set()
    for place in PLACES:
        # the same words are tried at length once
        values = _few(place, edges(place)) if place.rule.comment in tried else edges(place)
        tried.add(place.rule.comment)
        verdicts = {value: await asked.refuses(place, value) for value in values}
        wrong += [
            f"{place} {'refuses' if refused else 'takes'} {value!r:.100}: {place.rule.comment}"
            for value, refused in verdicts.items()
            if refused == place.allows(value)
        ]
        assert set(verdicts.values()) == {True, False}, f"{place}: {place.rule.comment}"
    assert wrong == []


@st.composite
def values(draw: st.DrawFn) -> tuple[Place, Any]:
    """A place, and what somebody might put there: near what it takes, or anything."""
    place = draw(st.sampled_from(PLACES))
    base = place.base()
    if place.is_count:
        return place, draw(st.integers(1, 80))
    if isinstance(base, int):
        bits = 31 if place.field.type == FieldDescriptor.TYPE_INT32 else 63
        return place, draw(st.one_of(st.integers(-5, 100_000), st.integers(-(2**bits), 2**bits - 1)))
    if place.field.name in {"filter", "order_by"}:
        return place, base.ljust(draw(st.integers(0, 10_000)))
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
    pattern = place.rule.pattern
    fitting = (
        st.just(base) if pattern is None else st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
    )
    if not draw(st.booleans()):
        return place, draw(st.one_of(texts, fitting))
    text, part = draw(fitting), draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=3))
    start = draw(st.integers(0, len(text)))
    return place, text[:start] + part + text[draw(st.integers(start, len(text))) :]


@pytest.mark.timeout(600)
@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(drawn=values())
async def test_a_value_is_refused_exactly_when_the_comment_says_so(
    asked: Asked, drawn: tuple[Place, Any]
) -> None:
    place, value = drawn
    assert await asked.refuses(place, value) != place.allows(value), place.rule.comment


def required_enums() -> list[Place]:
    return [place for place in places(enums=True) if place.field.enum_type is not None and place.is_required]


async def test_an_enum_that_is_required_is_refused_when_it_is_not_given(asked: Asked) -> None:
    found = required_enums()
    assert {place.field.name for place in found} == {"json_type", "cardinality", "decision"}
    for place in found:
        assert await asked.refuses(place, 0), place
        assert not await asked.refuses(place, place.base()), place
