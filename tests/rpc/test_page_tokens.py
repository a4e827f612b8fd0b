"""Page tokens are sealed against damage, not against forgery: whatever stands in one, a list answers or refuses it."""

import json
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor import MethodDescriptor

from osa_grpc.server.app import Started
from osa_grpc.wire import pb, tokens
from tests.fixtures.archive import Archive, refusal, rows

LISTS = [
    method
    for file in pb.FILES
    for service in file.services_by_name.values()
    for method in service.methods
    if "page_token" in method.input_type.fields_by_name
]
ORDERS = {
    "ListRuns": "end_time",
    "ListDepositions": "rejection_reason desc",
    "ListDeliveries": "last_error, attempts",
}

VALUES = ["", "null", "1", '"x"', '"2026-01-01T00:00:00Z"', '"0001-01-01T00:00:00+14:00"', "1e999", '"\\u0000"',
          '"\\ud800"', "9223372036854775808", "-9223372036854775809", "[]", "{", '"infinity"', '"a@1.0.0"', "true"]  # fmt: skip


class Lists:
    """Calls lists that each have two items at least."""

    def __init__(self, channel: grpc.aio.Channel, draft: str) -> None:
        self._channel = channel
        self._draft = draft

    def request(self, method: MethodDescriptor, **fields: Any) -> Any:
        request = getattr(pb, method.input_type.name)(**fields)
        if method.name == "QueryFeatures":
            request.feature_table = "featureTables/check"
        if method.name in {"ListFiles", "ListHookUses"}:
            request.parent = self._draft if method.name == "ListFiles" else "hooks/check"
        return request

    async def call(self, method: MethodDescriptor, request: Any) -> Any:
        response = getattr(pb, method.output_type.name)
        return await self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )(request)


@pytest.fixture
async def lists(archive: Archive, server: Started) -> Any:
    convention = await archive.convention()
    await archive.convention(archive.hook("check"), archive.hook("other"), version="2.0.0")
    for _ in range(2):
        await archive.finish(convention, check=rows('{"score": 1}'))
    draft = await archive.draft(convention, scripts={"check": "", "other": ""})
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Lists(channel, draft)


def forged(token: str, position: object) -> str:
    """The token with another position, sealed again."""
    content = tokens._opened(tokens._PAGE, token)
    assert content is not None
    body = json.dumps(position).encode()
    return tokens._sealed(tokens._PAGE, content[: tokens._BINDING_BYTES] + body)


async def test_a_position_that_somebody_made_up_is_an_invalid_page_token_in_every_list(lists: Lists) -> None:
    for method in LISTS:
        for order_by in {"", ORDERS.get(method.name, "")}:
            fields = {"order_by": order_by} if order_by else {}
            first = await lists.call(method, lists.request(method, page_size=1, **fields))
            assert first.next_page_token, method.name
            content = tokens._opened(tokens._PAGE, first.next_page_token)
            assert content is not None
            position = json.loads(content[tokens._BINDING_BYTES :])
            made_up: list[object] = [
                [],
                None,
                {},
                [1],
                [position],
                [*position, "1"],
                position[1:] or ["null"],
            ]
            made_up += [
                [*position[:i], value, *position[i + 1 :]] for i in range(len(position)) for value in VALUES
            ]
            for other in made_up:
                token = forged(first.next_page_token, other)
                try:
                    await lists.call(method, lists.request(method, page_token=token, **fields))
                except grpc.aio.AioRpcError:
                    error = await refusal(
                        lists.call(method, lists.request(method, page_token=token, **fields))
                    )
                    said = (error.code, error.reason, [violation.field for violation in error.violations])
                    assert said == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", ["page_token"]), (
                        method.name, other
                    )  # fmt: skip


async def test_a_token_of_another_filter_or_order_is_refused(lists: Lists) -> None:
    for method in LISTS:
        if "filter" not in method.input_type.fields_by_name:
            continue
        any_time = "created_at" if method.name == "QueryFeatures" else "create_time"
        query = {"filter": f'{any_time} > "2020-01-01"', "order_by": f"{any_time} desc"}
        first = await lists.call(method, lists.request(method, page_size=1, **query))
        assert first.next_page_token, method.name
        going_on = await lists.call(method, lists.request(method, page_token=first.next_page_token, **query))
        assert going_on.ByteSize()
        for other in ({"filter": ""}, {"order_by": ""}, {"filter": query["filter"] + " "}):
            request = lists.request(method, page_token=first.next_page_token, **{**query, **other})
            error = await refusal(lists.call(method, request))
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
