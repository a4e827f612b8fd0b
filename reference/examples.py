"""An example of each message of the contract, as JSON. Whoever adds a message adds one here: the tests ask for it."""

from typing import Final

from osa_grpc.domain.names import RunId
from osa_grpc.wire import tokens
from reference import example_resources as some
from reference.example_resources import Json

REQUEST_ID: Final = "2f1b6e0c-7f0e-4d1c-9f63-0a5c3f2c8d11"
FILTER: Final = "residue_count > 50"
ORDER_BY: Final = "residue_count desc, record_srn"
QUERY_COLUMNS: Final = ["chain_id", "residue_count", "mean_b_factor"]
RUN_FILTER: Final = 'state = "FAILED" AND failure_kind = "OOM"'
RUN_ORDER: Final = "end_time desc"


def _page_token(method: str, *query: str) -> str:
    """A token as a page gives it; what stands in it is nobody's business, so any position will do."""
    return tokens.page_token(tokens.page_binding(method, *query), ["7"])


def _resume_token(sequence: int) -> str:
    return tokens.resume_token(RunId(some.RUN_ID), sequence)


PAGE: Final = {
    "ListConventions": _page_token("ListConventions"),
    "ListDepositions": _page_token("ListDepositionsRequest", 'state = "DRAFT"', "update_time desc"),
    "ListFiles": _page_token("ListFiles", some.DEPOSITION_ID),
    "ListRuns": _page_token("ListRunsRequest", RUN_FILTER, RUN_ORDER),
    "ListRecords": _page_token("ListRecordsRequest", 'create_time >= "2026-01-01"', "create_time"),
    "ListFeatureTables": _page_token("ListFeatureTables"),
    "QueryFeatures": _page_token("QueryFeatures", "featureTables/chains", FILTER, ORDER_BY, *QUERY_COLUMNS),
    "ListHooks": _page_token("ListHooks"),
    "ListHookUses": _page_token("ListHookUses", "chains"),
    "ListDeliveries": _page_token("ListDeliveriesRequest", 'state = "DEAD"', "update_time desc"),
}

_SERVER: Final[dict[str, Json]] = {
    "GetServerInfoRequest": {},
    "GetServerInfoResponse": {"serverInfo": some.SERVER_INFO},
    "ServerInfo": some.SERVER_INFO,
    "ServerLimits": some.SERVER_LIMITS,
    "EngineInfo": some.ENGINE,
}

_CONVENTIONS: Final[dict[str, Json]] = {
    "RegisterConventionRequest": {
        "conventionId": "pdb-structures",
        "convention": some.NEW_CONVENTION,
        "requestId": REQUEST_ID,
    },
    "RegisterConventionResponse": {"convention": some.CONVENTION | {"state": "CONVENTION_STATE_PENDING"}},
    "GetConventionRequest": {"name": some.CONVENTION_NAME},
    "GetConventionResponse": {"convention": some.CONVENTION},
    "ListConventionsRequest": {"pageSize": 1, "pageToken": PAGE["ListConventions"]},
    "ListConventionsResponse": {
        "conventions": [some.CONVENTION],
        "nextPageToken": PAGE["ListConventions"],
    },
    "WatchConventionRequest": {"name": some.CONVENTION_NAME},
    "WatchConventionResponse": {"convention": some.CONVENTION},
    "Convention": some.CONVENTION,
    "FileRequirements": some.FILE_REQUIREMENTS,
    "ConventionFailure": some.CONVENTION_FAILURE,
    "HookDefinition": some.HOOK_DEFINITION,
    "OciConfig": some.OCI,
    "OciLimits": some.LIMITS,
    "TableFeatureSpec": some.TABLE,
    "ColumnDef": some.COLUMN,
}

_UPLOAD_HEADER: Final[Json] = {
    "parent": some.DEPOSITION_NAME,
    "fileName": "1a8o.cif.gz",
    "sizeBytes": "38214",
    "sha256": some.SHA256,
    "mediaType": "chemical/x-mmcif",
    "requestId": REQUEST_ID,
}

_DEPOSITIONS: Final[dict[str, Json]] = {
    "CreateDepositionRequest": {
        "deposition": {"convention": some.CONVENTION_NAME, "metadata": some.METADATA},
        "requestId": REQUEST_ID,
    },
    "CreateDepositionResponse": {
        "deposition": {key: value for key, value in some.DRAFT.items() if key != "fileCount"} | {"etag": "1"}
    },
    "UpdateDepositionRequest": {
        "deposition": {
            "name": some.DEPOSITION_NAME,
            "metadata": {"publication_year": 1996},
            "etag": "2",
        },
        "updateMask": "metadata.publicationYear",
        "requestId": REQUEST_ID,
    },
    "UpdateDepositionResponse": {
        "deposition": some.DRAFT | {"metadata": some.METADATA | {"publication_year": 1996}, "etag": "3"}
    },
    "GetDepositionRequest": {"name": some.DEPOSITION_NAME},
    "GetDepositionResponse": {"deposition": some.DEPOSITION},
    "ListDepositionsRequest": {
        "pageSize": 1,
        "pageToken": PAGE["ListDepositions"],
        "filter": 'state = "DRAFT"',
        "orderBy": "update_time desc",
    },
    "ListDepositionsResponse": {
        "depositions": [some.DRAFT],
        "nextPageToken": PAGE["ListDepositions"],
    },
    "DeleteDepositionRequest": {
        "name": some.DEPOSITION_NAME,
        "etag": "2",
        "requestId": REQUEST_ID,
    },
    "DeleteDepositionResponse": {},
    "UploadFileRequest": {"header": _UPLOAD_HEADER},
    "UploadFileHeader": _UPLOAD_HEADER,
    "UploadFileResponse": {"file": some.FILE},
    "DownloadFileRequest": {"name": some.FILE["name"], "offset": "65536"},
    "DownloadFileResponse": {"offset": "65536", "data": "QVRPTSAgIDE="},
    "ListFilesRequest": {
        "parent": some.DEPOSITION_NAME,
        "pageSize": 1,
        "pageToken": PAGE["ListFiles"],
    },
    "ListFilesResponse": {"files": [some.FILE], "nextPageToken": PAGE["ListFiles"]},
    "DeleteFileRequest": {"name": some.FILE["name"], "requestId": REQUEST_ID},
    "DeleteFileResponse": {},
    "SubmitDepositionRequest": {
        "name": some.DEPOSITION_NAME,
        "etag": "2",
        "requestId": REQUEST_ID,
    },
    "SubmitDepositionResponse": {"run": some.NEW_RUN, "resumeToken": _resume_token(0)},
    "Deposition": some.DEPOSITION,
    "DepositionFile": some.FILE,
}

_RUNS: Final[dict[str, Json]] = {
    "GetRunRequest": {"name": some.RUN_NAME},
    "GetRunResponse": {"run": some.RUN, "resumeToken": _resume_token(6)},
    "ListRunsRequest": {
        "pageSize": 1,
        "pageToken": PAGE["ListRuns"],
        "filter": RUN_FILTER,
        "orderBy": RUN_ORDER,
    },
    "ListRunsResponse": {"runs": [some.RUN], "nextPageToken": PAGE["ListRuns"]},
    "CancelRunRequest": {"name": some.RUN_NAME, "requestId": REQUEST_ID},
    "CancelRunResponse": {"run": some.NEW_RUN | {"state": "RUN_STATE_CANCELLING"}},
    "RetryRunRequest": {"name": some.RUN_NAME, "requestId": REQUEST_ID},
    "RetryRunResponse": {
        "run": some.NEW_RUN | {"retryOf": "runs/0b1b7e62-3c38-4a1d-9c3c-5d0f8a4e7f10"},
        "resumeToken": _resume_token(0),
    },
    "ReviewRunRequest": {
        "name": some.RUN_NAME,
        "decision": "REVIEW_DECISION_REJECT",
        "reason": some.REVIEW["reason"],
        "requestId": REQUEST_ID,
    },
    "ReviewRunResponse": {
        "run": {key: value for key, value in some.RUN.items() if key != "record"}
        | {
            "state": "RUN_STATE_REJECTED",
            "rejectionReason": some.REVIEW["reason"],
            "review": some.REVIEW,
            "endTime": some.REVIEW["reviewTime"],
        }
    },
    "WatchRunRequest": {
        "name": some.RUN_NAME,
        "resumeToken": _resume_token(2),
        "bookmarkInterval": "15s",
    },
    "WatchRunResponse": {
        "events": [
            {
                "sequence": "3",
                "eventTime": "2026-03-02T09:14:05.100Z",
                "hookProgress": {"hook": "chains", "attempt": 1, "progress": some.PROGRESS},
            }
        ],
        "resumeToken": _resume_token(3),
        "caughtUp": {},
    },
    "CaughtUp": {},
    "Bookmark": {},
    "Closing": {"reason": "CLOSING_REASON_SERVER_DRAINING", "retryDelay": "1s"},
    "ReadRunLogRequest": {"name": some.EXECUTION["name"], "attempt": 1, "follow": True},
    "ReadRunLogResponse": {"offset": "1024", "text": "chain A: 70 residues\nchain B: 68 residues\n"},
    "Run": some.RUN,
    "Review": some.REVIEW,
    "DepositionSource": {"deposition": some.DEPOSITION_NAME},
    "HookExecution": some.EXECUTION,
    "Waiting": some.WAITING,
    "Failure": some.FAILURE,
    "HookProgress": some.PROGRESS,
    "Provenance": some.PROVENANCE,
    "OciProvenance": some.OCI_PROVENANCE,
}

_HOOK_FINISHED: Final[Json] = {
    "hook": "chains",
    "attempt": 1,
    "verdict": "VERDICT_PASSED",
    "rowCount": "2",
    "duration": "1.300s",
}

_RUN_EVENTS: Final[dict[str, Json]] = {
    "RunEvent": {
        "sequence": "4",
        "eventTime": "2026-03-02T09:14:05.700Z",
        "hookFinished": _HOOK_FINISHED,
    },
    "RunStarted": {},
    "HookStarted": {"hook": "chains", "attempt": 1, "imageId": some.OCI_PROVENANCE["imageId"]},
    "HookProgressed": {"hook": "chains", "attempt": 1, "progress": some.PROGRESS},
    "HookRetrying": {
        "hook": "chains",
        "attempt": 2,
        "cause": some.FAILURE,
        "retryDelay": "5s",
        "memory": "1g",
    },
    "HookFinished": _HOOK_FINISHED,
    "ReviewRequested": {},
    "Reviewed": {"decision": "REVIEW_DECISION_REJECT", "reason": some.REVIEW["reason"]},
    "CancelRequested": {},
    "RecordPublished": {"record": some.RECORD_NAME},
    "RunFinished": {"state": "RUN_STATE_COMPLETED", "record": some.RECORD_NAME},
}

_RECORDS: Final[dict[str, Json]] = {
    "GetRecordRequest": {"name": some.RECORD_NAME},
    "GetRecordResponse": {"record": some.RECORD},
    "ListRecordsRequest": {
        "pageSize": 1,
        "pageToken": PAGE["ListRecords"],
        "filter": 'create_time >= "2026-01-01"',
        "orderBy": "create_time",
    },
    "ListRecordsResponse": {"records": [some.RECORD], "nextPageToken": PAGE["ListRecords"]},
    "Record": some.RECORD,
}

_FEATURES: Final[dict[str, Json]] = {
    "GetFeatureTableRequest": {"name": "featureTables/chains"},
    "GetFeatureTableResponse": {"featureTable": some.FEATURE_TABLE},
    "ListFeatureTablesRequest": {"pageSize": 1, "pageToken": PAGE["ListFeatureTables"]},
    "ListFeatureTablesResponse": {
        "featureTables": [some.FEATURE_TABLE],
        "nextPageToken": PAGE["ListFeatureTables"],
    },
    "QueryFeaturesRequest": {
        "featureTable": "featureTables/chains",
        "filter": FILTER,
        "orderBy": ORDER_BY,
        "columns": QUERY_COLUMNS,
        "pageSize": 2,
        "pageToken": PAGE["QueryFeatures"],
    },
    "QueryFeaturesResponse": {
        "columns": some.CHAIN_COLUMNS,
        "rows": some.ROWS,
        "nextPageToken": PAGE["QueryFeatures"],
    },
    "FeatureTable": some.FEATURE_TABLE,
    "ColumnInfo": some.COLUMN_INFO,
    "Row": some.ROWS[0],
    "Value": {"number": 20.31},
}

_HOOKS: Final[dict[str, Json]] = {
    "GetHookRequest": {"name": "hooks/chains"},
    "GetHookResponse": {"hook": some.HOOK},
    "ListHooksRequest": {"pageSize": 1, "pageToken": PAGE["ListHooks"]},
    "ListHooksResponse": {"hooks": [some.HOOK], "nextPageToken": PAGE["ListHooks"]},
    "ListHookUsesRequest": {
        "parent": "hooks/chains",
        "pageSize": 1,
        "pageToken": PAGE["ListHookUses"],
    },
    "ListHookUsesResponse": {"uses": [some.HOOK_USE], "nextPageToken": PAGE["ListHookUses"]},
    "Hook": some.HOOK,
    "VerdictCounts": some.VERDICT_COUNTS,
    "HookUse": some.HOOK_USE,
}

_ADMIN: Final[dict[str, Json]] = {
    "GetDeliveryRequest": {"name": some.DELIVERY["name"]},
    "GetDeliveryResponse": {"delivery": some.DELIVERY},
    "ListDeliveriesRequest": {
        "pageSize": 1,
        "pageToken": PAGE["ListDeliveries"],
        "filter": 'state = "DEAD"',
        "orderBy": "update_time desc",
    },
    "ListDeliveriesResponse": {
        "deliveries": [some.DELIVERY],
        "nextPageToken": PAGE["ListDeliveries"],
    },
    "RetryDeliveryRequest": {"name": some.DELIVERY["name"], "requestId": REQUEST_ID},
    "RetryDeliveryResponse": {
        "delivery": {key: value for key, value in some.DELIVERY.items() if key != "attempts"}
        | {
            "state": "DELIVERY_STATE_PENDING",
            "updateTime": "2026-03-02T10:02:00Z",
            "nextAttemptTime": "2026-03-02T10:02:00Z",
        }
    },
    "DiscardDeliveryRequest": {"name": some.DELIVERY["name"], "requestId": REQUEST_ID},
    "DiscardDeliveryResponse": {
        "delivery": some.DELIVERY
        | {"state": "DELIVERY_STATE_DISCARDED", "updateTime": "2026-03-02T10:02:00Z"}
    },
    "Delivery": some.DELIVERY,
}

_ERRORS: Final[dict[str, Json]] = {
    "FeatureTableConflict": {
        "featureTable": "featureTables/chains",
        "columns": [some.COLUMN_CONFLICT],
    },
    "ColumnConflict": some.COLUMN_CONFLICT,
    "ConventionConflict": {
        "convention": some.CONVENTION_NAME,
        "differences": [some.FIELD_DIFFERENCE],
    },
    "FieldDifference": some.FIELD_DIFFERENCE,
}

EXAMPLES: Final[dict[str, Json]] = {
    **_SERVER,
    **_CONVENTIONS,
    **_DEPOSITIONS,
    **_RUNS,
    **_RUN_EVENTS,
    **_RECORDS,
    **_FEATURES,
    **_HOOKS,
    **_ADMIN,
    **_ERRORS,
}
"""By the name of the message."""
