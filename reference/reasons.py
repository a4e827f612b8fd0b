"""What the comments of calls do not say about reasons: those that any call may be answered with, and the metadata they bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class GeneralReason:
    """A reason that is not of single calls: its status code, and which calls may be answered with it, in words."""

    reason: str
    code: str
    calls: str = "any call"


GENERAL_REASONS: Final = (
    GeneralReason(reason="INVALID_FIELD", code="INVALID_ARGUMENT"),
    GeneralReason(reason="MALFORMED_MESSAGE", code="INVALID_ARGUMENT"),
    GeneralReason(reason="REQUEST_ID_REUSED", code="INVALID_ARGUMENT", calls="any change"),
    GeneralReason(reason="UNSUPPORTED_VALUE", code="UNIMPLEMENTED", calls="any call that takes an enum"),
    GeneralReason(reason="DATABASE_UNAVAILABLE", code="UNAVAILABLE"),
    GeneralReason(reason="DATABASE_BUSY", code="UNAVAILABLE"),
    GeneralReason(reason="DATABASE_TIMEOUT", code="UNAVAILABLE"),
    GeneralReason(reason="DATABASE_READ_ONLY", code="UNAVAILABLE"),
    GeneralReason(reason="DATABASE_DISK_FULL", code="RESOURCE_EXHAUSTED"),
    GeneralReason(
        reason="TOO_MANY_CALLS",
        code="RESOURCE_EXHAUSTED",
        calls="any call that takes one message and answers once",
    ),
    GeneralReason(reason="TOO_MANY_STREAMS", code="RESOURCE_EXHAUSTED", calls="any call that gives a stream"),
    GeneralReason(
        reason="DEADLINE_EXCEEDED",
        code="DEADLINE_EXCEEDED",
        calls="any call that takes one message, answers once and brings no deadline",
    ),
    GeneralReason(reason="INTERNAL", code="INTERNAL"),
)

METADATA: Final[Mapping[str, tuple[str, ...]]] = {
    "CONVENTION_EXISTS": ("name",),
    "DEADLINE_EXCEEDED": ("seconds",),
    "DELIVERY_DONE": ("delivery", "state"),
    "DELIVERY_NOT_DEAD": ("delivery", "state"),
    "DEPOSITION_NOT_DRAFT": ("state", "run"),
    "DISK_FULL": ("directory",),
    "ETAG_MISMATCH": ("etag",),
    "FEATURE_TABLE_CONFLICT": ("feature_table",),
    "FILE_EXISTS": ("name",),
    "INTERNAL": ("incident",),
    "INVALID_FILTER": ("position", "expected", "column"),
    "INVALID_ORDER_BY": ("position", "expected", "column"),
    "RESOURCE_NOT_FOUND": ("name",),
    "RUN_NOT_CANCELLABLE": ("state",),
    "RUN_NOT_RETRYABLE": ("state",),
    "RUN_NOT_REVIEWABLE": ("state",),
    "UNKNOWN_COLUMN": ("position", "expected", "column"),
    "UNSUPPORTED_FIELD": ("field", "number"),
    "UNSUPPORTED_VALUE": ("field", "number"),
    "UNSUPPORTED_VARIANT": ("field", "number"),
}
"""Which keys `ErrorInfo.metadata` may have beside a reason. Whatever is not here has none."""

KEYS: Final[Mapping[str, str]] = {
    "column": "The column of the filter or the order that is meant, where there is one.",
    "delivery": "The delivery, `deliveries/{number}`.",
    "directory": "The server's directory whose disk is full.",
    "etag": "What the resource has now.",
    "expected": "What was expected at `position`, for people.",
    "feature_table": "The table, `featureTables/{hook}`.",
    "field": "The path of what is not known, as in `BadRequest`.",
    "incident": "What to look for in the server's log.",
    "name": "The resource that is not there, or is there already.",
    "number": "The number in the contract of what is not known: of the field, the arm or the enum's value.",
    "omitted": "With any reason: how many violations or differences did not fit.",
    "position": "Where in `filter` or `order_by`, in characters, from 1. Not given when a column is named in `columns`.",
    "run": "The deposition's run, where it has one.",
    "seconds": "The deadline of calls that bring none.",
    "state": "The state that does not allow it, without the enum's prefix: `SUBMITTED`.",
}
"""What the keys hold. All values are texts."""
