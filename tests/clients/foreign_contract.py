"""A contract as somebody else has it: an older release, a newer one. Its messages live in a descriptor pool beside ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.fixtures.documents import ROOT

PACKAGE = "opensciencearchive.v1"


@cache
def contract_of_today() -> bytes:
    """The descriptor set that protoc makes of proto/, with all it imports."""
    subprocess.run(["proto/generate", "--imports"], cwd=ROOT, check=True)
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto").rglob("*.proto"))
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", "-Ibuild/googleapis"]
    compiled = subprocess.run(
        [*protoc, "--include_imports", "--descriptor_set_out=/dev/stdout", *files],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return compiled.stdout


class Contract:
    """The messages and methods of a descriptor set, which has what it imports before it."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self._pool = DescriptorPool()
        for file in files.file:
            self._pool.Add(file)

    def message(self, name: str) -> Any:
        """The class of a message, for example `Run`."""
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def method(self, name: str) -> MethodDescriptor:
        """A method, for example `RunService/GetRun`."""
        service, _, method = name.partition("/")
        found = self._pool.FindServiceByName(f"{PACKAGE}.{service}").FindMethodByName(method)
        assert found is not None, name
        return found

    def request(self, method: str, **fields: Any) -> Any:
        """The request of a method."""
        return self.message(self.method(method).input_type.name)(**fields)

    def response(self, method: str, **fields: Any) -> Any:
        """A response of a method."""
        return self.message(self.method(method).output_type.name)(**fields)

    def of(self, message: Message) -> Any:
        """The same bytes, read as the message of this contract that has the same name."""
        return self.message(message.DESCRIPTOR.name).FromString(message.SerializeToString())


class ForeignClient:
    """A client that knows this contract and not ours."""

    def __init__(self, contract: Contract, channel: grpc.aio.Channel) -> None:
        self.contract = contract
        self._channel = channel

    async def ask(self, method: str, *requests: Any, **fields: Any) -> Any:
        """Call a method; return its answer. Without requests, with one of these fields."""
        (answer,) = await self.ask_for_all(method, *requests, **fields)
        return answer

    async def ask_for_all(self, method: str, *requests: Any, **fields: Any) -> list[Any]:
        """Call a method of whatever arity; return its answers."""
        descriptor = self.contract.method(method)
        path = f"/{PACKAGE}.{method}"
        codec = (_to_bytes, self.contract.message(descriptor.output_type.name).FromString)
        requests = requests or (self.contract.request(method, **fields),)
        if descriptor.client_streaming:

            async def sent() -> AsyncIterator[Any]:
                for request in requests:
                    yield request

            return [await self._channel.stream_unary(path, *codec)(sent())]
        if descriptor.server_streaming:
            return [answer async for answer in self._channel.unary_stream(path, *codec)(*requests)]
        return [await self._channel.unary_unary(path, *codec)(*requests)]


def ours_in(message: Message, *, but: str = "") -> Iterator[Any]:
    """Yield the message and each of the contract's own inside it; not those of the type `but`, nor what is inside them."""
    if message.DESCRIPTOR.file.package != PACKAGE or message.DESCRIPTOR.name == but:
        return
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if field.is_repeated else [value]:
                yield from ours_in(item, but=but)


def _to_bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
