"""Runs the roles: all of them, until one fails or all are to stop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from osa_grpc.application.role import Role

_LOG = structlog.get_logger(__name__)


class RoleEndedError(Exception):
    """A role ended although nobody asked it to: the server cannot go on."""


class ServerFailedError(Exception):
    """A part of the server failed while it served, so that it ended. The message says which and why, for people."""


class Supervisor:
    """Starts roles and notices their end. `failed` is set as soon as one has ended by itself."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()
        self.reason: BaseException | None = None

    @asynccontextmanager
    async def running(self, roles: Sequence[Role]) -> AsyncIterator[None]:
        """Run the roles while the block runs; at its end cancel them, and wait until each is over. They start together, and the
        block begins once all are ready.
        """
        tasks = [asyncio.create_task(self._watched(role), name=f"role {role.name}") for role in roles]
        failed = asyncio.create_task(self.failed.wait(), name="supervisor")
        ready = asyncio.create_task(_all_ready(roles), name="roles ready")
        try:
            await asyncio.wait({failed, ready}, return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            for task in (*tasks, failed, ready):
                task.cancel()
            await asyncio.wait({*tasks, failed, ready})

    async def _watched(self, role: Role) -> None:
        try:
            await role.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            _LOG.exception("role failed", role=role.name)
            self._fail(error)
            raise
        else:
            self._fail(RoleEndedError(f"the role {role.name} ended"))

    def _fail(self, error: BaseException) -> None:
        self.reason = self.reason or error
        self.failed.set()


async def _all_ready(roles: Sequence[Role]) -> None:
    for role in roles:
        await role.ready.wait()
