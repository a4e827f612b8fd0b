"""Long-lived parts of the server."""

import asyncio
from typing import Protocol


class Role(Protocol):
    """A long-lived part of the server.

    `run` ends only by cancellation; anything it raises takes the server down, so a role that can recover does so
    inside. `ready` is set once it does its work.
    """

    name: str
    ready: asyncio.Event

    async def run(self) -> None:
        """Do its work until cancelled."""
