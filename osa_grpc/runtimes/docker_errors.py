"""What Docker's client raises, in our words."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Final

import aiohttp
from aiodocker.exceptions import DockerError

from osa_grpc.runtimes.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BAD_REQUEST: Final = 400
NOT_FOUND: Final = 404
CONFLICT: Final = 409
NO_CONNECTION: Final = 900
"""The status that aiodocker gives when there was no answer at all."""


@contextlib.asynccontextmanager
async def engine_call(purpose: str, *, within_seconds: float | None) -> AsyncIterator[None]:
    """Bound the calls in the block, and turn what goes wrong in them into an EngineError that says what for.

    A DockerError with a meaning of its own is caught inside the block.
    """
    try:
        async with asyncio.timeout(within_seconds):
            yield
    except TimeoutError as error:
        raise EngineError(
            f"the container engine did not {purpose} within {within_seconds or 0:g} s"
        ) from error
    except DockerError as error:
        raise EngineError(f"the container engine could not {purpose}: {reason_of(error)}") from error
    except aiohttp.ClientConnectorError as error:
        raise EngineError(
            f"the container engine could not {purpose}: it does not answer ({error})"
        ) from error
    except (aiohttp.ClientError, OSError, json.JSONDecodeError) as error:
        raise EngineError(
            f"the container engine went away when it was to {purpose}: {str(error) or type(error).__name__}"
        ) from error


def reason_of(error: DockerError) -> str:
    """What the engine said, in one line without a full stop."""
    if error.status == NO_CONNECTION:
        cause = error.__cause__ or error.__context__
        return f"it does not answer ({cause})" if cause is not None else "it does not answer"
    return " ".join(str(error.message).split()).rstrip(".")[:2000] or f"it answered {error.status}"
