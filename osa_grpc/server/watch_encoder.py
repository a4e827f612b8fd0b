from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from osa_grpc.application.watching import Control
from osa_grpc.domain.names import RunId
from osa_grpc.domain.run_event import RunEvent
from osa_grpc.wire import pb, tokens
from osa_grpc.wire.run_event_codec import run_event_to_proto
from osa_grpc.wire.times import duration_to_proto

_RETRY_DELAY: Final = timedelta(seconds=1)


class ProtoWatchEncoder:
    """Makes `WatchRunResponse`s as bytes."""

    def events(self, run: RunId, events: Sequence[RunEvent]) -> bytes:
        """Encode events and the token after the last of them."""
        return pb.WatchRunResponse(
            events=[run_event_to_proto(event) for event in events],
            resume_token=tokens.resume_token(run, events[-1].sequence),
        ).SerializeToString()

    def control(self, run: RunId, sequence: int, control: Control) -> bytes:
        """Encode a control and the token of a position."""
        response = pb.WatchRunResponse(resume_token=tokens.resume_token(run, sequence))
        match control:
            case Control.CAUGHT_UP:
                response.caught_up.SetInParent()
            case Control.BOOKMARK:
                response.bookmark.SetInParent()
            case Control.SERVER_DRAINING:
                response.closing.reason = pb.CLOSING_REASON_SERVER_DRAINING
                response.closing.retry_delay.CopyFrom(duration_to_proto(_RETRY_DELAY))
            case Control.REBALANCE:
                response.closing.reason = pb.CLOSING_REASON_REBALANCE
                response.closing.retry_delay.CopyFrom(duration_to_proto(timedelta()))
        return response.SerializeToString()
