"""Watching a run: each of its events once and in order, whatever happens to the connections."""

from collections.abc import Sequence
from datetime import timedelta

from osa_grpc.client.resumption import Resumption
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import OsaRpcError


class WatchGapError(Exception):
    """The server left out an event, which it promises never to do: what was received is not the whole history."""


class RunWatch:
    """A `ResumableStream` of the responses of WatchRun, in which no event comes twice."""

    def __init__(
        self,
        *,
        name: str,
        resume_token: str | None,
        from_now: bool,
        until_now: bool,
        bookmark_interval: timedelta | None,
        resumption: Resumption,
    ) -> None:
        if resume_token is not None and from_now:
            raise ValueError("a watch starts from a resume token or from now, not both")
        self._name = name
        self._token = resume_token
        self._from_now = from_now
        self._until_now = until_now
        self._bookmark_interval = bookmark_interval
        self._resumption = resumption
        self._last_sequence = 0 if resume_token is None and not from_now else None
        self._closing_seconds: float | None = None
        self._finished = False

    def request(self) -> pb.WatchRunRequest:
        """Return the request that continues exactly after what was received."""
        self._closing_seconds = None
        request = pb.WatchRunRequest(name=self._name, until_now=self._until_now)
        if self._token is not None:
            request.resume_token = self._token
        elif self._from_now:
            request.from_now = True
        if self._bookmark_interval is not None:
            request.bookmark_interval.FromTimedelta(self._bookmark_interval)
        return request

    def take(self, response: pb.WatchRunResponse) -> Sequence[pb.WatchRunResponse]:
        """Take a response.

        Raises:
            WatchGapError: an event is missing.
        """
        self._resumption.received()
        fresh = [event for event in response.events if self._is_next(event)]
        if response.resume_token:
            self._token = response.resume_token
        if response.WhichOneof("control") == "closing":
            self._closing_seconds = response.closing.retry_delay.ToTimedelta().total_seconds()
        if len(fresh) < len(response.events):
            clean = pb.WatchRunResponse()
            clean.CopyFrom(response)
            del clean.events[:]
            clean.events.extend(fresh)
            return [clean]
        return [response]

    @property
    def wants_new_call(self) -> bool:
        """Whether the server has said `closing`: it is about to end the call before there is nothing more to come."""
        return self._closing_seconds is not None and not self._finished

    def ended(self) -> float | None:
        """OK means that there is nothing more to come. A call that we ended, because of `closing`, is followed by another."""
        if not self.wants_new_call:
            return None
        return self._resumption.seconds_after_closing(self._closing_seconds or 0.0)

    def interrupted(self, error: OsaRpcError) -> float | None:
        """After `run_finished` nothing is missing; before, the watch goes on if it can."""
        if self._finished:
            return None
        if self.wants_new_call:
            return self.ended()
        return self._resumption.seconds_after_error(error)

    def _is_next(self, event: pb.RunEvent) -> bool:
        if self._last_sequence is not None:
            if event.sequence <= self._last_sequence:
                return False
            if event.sequence != self._last_sequence + 1:
                raise WatchGapError(
                    f"{self._name}: event {event.sequence} came after event {self._last_sequence}"
                )
        self._last_sequence = event.sequence
        self._finished = self._finished or event.WhichOneof("kind") == "run_finished"
        return True
