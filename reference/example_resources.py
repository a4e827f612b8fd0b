"""What resources and the messages in them look like, as JSON. One story: a structure of the Protein Data Bank is deposited, a hook
looks at it, it is published.

The tests read each with the real codecs, and write it again.
"""

from typing import Any, Final

Json = dict[str, Any]

CONVENTION_NAME: Final = "conventions/pdb-structures@1.0.0"
DEPOSITION_ID: Final = "990aea95-938f-4cc4-95ce-3705cc3bac2c"
DEPOSITION_NAME: Final = f"depositions/{DEPOSITION_ID}"
RUN_ID: Final = "4a531222-18e8-423a-b20e-8280009904d6"
RUN_NAME: Final = f"runs/{RUN_ID}"
RECORD_KEY: Final = "ba8ba9d4-3ff2-43ed-a393-a2626652c341@1"
RECORD_NAME: Final = f"records/{RECORD_KEY}"
RECORD_SRN: Final = f"urn:osa:archive.example.org:rec:{RECORD_KEY}"
EXECUTION_ID: Final = "7f6c1f0e-3f61-4a38-9a53-59a9c0e1c1de"
DIGEST: Final = "sha256:9b2a28eb1f7f6e3b2f8d5f6f2d0d9c1f5b8a7e6d4c3b2a190817263544536271"
SHA256: Final = "1f3870be274f6c49b3e31a0c6728957f4f5c4a3d2b1a09f8e7d6c5b4a3928170"
METADATA: Final[Json] = {
    "title": "HIV CAPSID C-TERMINAL DOMAIN",
    "pdb_id": "1A8O",
    "authors": ["Gamble, T.R.", "Yoo, S."],
    "publication_year": 1997,
}

COLUMN: Final[Json] = {
    "name": "mean_b_factor",
    "jsonType": "JSON_TYPE_NUMBER",
    "description": "The mean isotropic B factor of the atoms; none where none was refined.",
    "unit": "Ao2",
}
TABLE: Final[Json] = {
    "cardinality": "CARDINALITY_MANY",
    "columns": [
        {
            "name": "chain_id",
            "jsonType": "JSON_TYPE_STRING",
            "required": True,
            "description": "The chain's name in the structure.",
        },
        {"name": "residue_count", "jsonType": "JSON_TYPE_INTEGER", "required": True},
        COLUMN,
    ],
}
LIMITS: Final[Json] = {"timeoutSeconds": 120, "memory": "512m", "cpu": "1.0"}
OCI: Final[Json] = {
    "image": "registry.example.org/hooks/chains:1.2",
    "digest": DIGEST,
    "config": {"min_residues": 4},
    "limits": LIMITS,
}
HOOK_DEFINITION: Final[Json] = {"name": "chains", "oci": OCI, "table": TABLE}
FILE_REQUIREMENTS: Final[Json] = {
    "minCount": 1,
    "maxCount": 1,
    "maxSizeBytes": "67108864",
    "extensions": [".cif", ".cif.gz"],
}
CONVENTION_FAILURE: Final[Json] = {
    "message": "the table features.chains could not be made: the database's disk is full"
}
NEW_CONVENTION: Final[Json] = {
    "title": "Macromolecular structures",
    "description": "Atomic models of macromolecules as mmCIF, one structure per deposition.",
    "version": "1.0.0",
    "metadataSchema": [
        {"name": "title", "jsonType": "JSON_TYPE_STRING", "required": True},
        {"name": "pdb_id", "jsonType": "JSON_TYPE_STRING"},
        {"name": "authors", "jsonType": "JSON_TYPE_ARRAY", "required": True},
        {"name": "publication_year", "jsonType": "JSON_TYPE_INTEGER"},
    ],
    "fileRequirements": FILE_REQUIREMENTS,
    "hooks": [HOOK_DEFINITION],
    "review": "REVIEW_MODE_AUTO",
}
CONVENTION: Final[Json] = {
    "name": CONVENTION_NAME,
    "srn": "urn:osa:archive.example.org:conv:pdb-structures@1.0.0",
    **NEW_CONVENTION,
    "state": "CONVENTION_STATE_READY",
    "featureTables": ["featureTables/chains"],
    "createTime": "2026-03-02T09:00:00Z",
    "updateTime": "2026-03-02T09:00:00.120Z",
}

FILE: Final[Json] = {
    "name": f"{DEPOSITION_NAME}/files/1a8o.cif.gz",
    "fileName": "1a8o.cif.gz",
    "sizeBytes": "38214",
    "sha256": SHA256,
    "mediaType": "chemical/x-mmcif",
    "createTime": "2026-03-02T09:14:03.250Z",
}
DRAFT: Final[Json] = {
    "name": DEPOSITION_NAME,
    "srn": f"urn:osa:archive.example.org:dep:{DEPOSITION_ID}",
    "convention": CONVENTION_NAME,
    "metadata": METADATA,
    "fileCount": 1,
    "state": "DEPOSITION_STATE_DRAFT",
    "etag": "2",
    "createTime": "2026-03-02T09:14:03Z",
    "updateTime": "2026-03-02T09:14:03.250Z",
}
DEPOSITION: Final[Json] = DRAFT | {
    "state": "DEPOSITION_STATE_PUBLISHED",
    "run": RUN_NAME,
    "record": RECORD_NAME,
    "etag": "4",
    "updateTime": "2026-03-02T09:14:06Z",
}

OCI_PROVENANCE: Final[Json] = {
    "image": OCI["image"],
    "digest": DIGEST,
    "imageId": "sha256:5c1a36bbf6d2cfdf5a4a9d3c0d8b7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d",
    "limits": LIMITS,
    "engine": "docker 20.10.24 linux/amd64",
}
PROVENANCE: Final[Json] = {
    "oci": OCI_PROVENANCE,
    "configSha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "inputSha256": "3b5d5c3712955042212316173ccf37be800d4f6d9f1c2b3a4f5e6d7c8b9a0f1e",
    "outputSha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
PROGRESS: Final[Json] = {"step": "read", "status": "running", "message": "2 of 2 chains"}
FAILURE: Final[Json] = {
    "kind": "FAILURE_KIND_OOM",
    "message": "the hook used more than its 512m of memory",
    "retryable": True,
}
WAITING: Final[Json] = {"reason": "WAITING_REASON_RETRY", "untilTime": "2026-03-02T09:14:20Z"}
EXECUTION: Final[Json] = {
    "name": f"{RUN_NAME}/executions/chains",
    "executionId": EXECUTION_ID,
    "hook": "chains",
    "attempt": 1,
    "state": "HOOK_EXECUTION_STATE_FINISHED",
    "verdict": "VERDICT_PASSED",
    "progress": PROGRESS,
    "logBytes": "1187",
    "rowCount": "2",
    "createTime": "2026-03-02T09:14:04.100Z",
    "startTime": "2026-03-02T09:14:04.400Z",
    "endTime": "2026-03-02T09:14:05.700Z",
    "provenance": PROVENANCE,
}
REVIEW: Final[Json] = {
    "decision": "REVIEW_DECISION_REJECT",
    "reason": "The ligand is missing from the model.",
    "reviewTime": "2026-03-03T15:30:00Z",
}
NEW_RUN: Final[Json] = {
    "name": RUN_NAME,
    "srn": f"urn:osa:archive.example.org:val:{RUN_ID}",
    "deposition": {"deposition": DEPOSITION_NAME},
    "convention": CONVENTION_NAME,
    "state": "RUN_STATE_PENDING",
    "executions": [
        {
            "name": f"{RUN_NAME}/executions/chains",
            "executionId": EXECUTION_ID,
            "hook": "chains",
            "state": "HOOK_EXECUTION_STATE_PENDING",
        }
    ],
    "createTime": "2026-03-02T09:14:04Z",
}
RUN: Final[Json] = NEW_RUN | {
    "state": "RUN_STATE_COMPLETED",
    "executions": [EXECUTION],
    "record": RECORD_NAME,
    "startTime": "2026-03-02T09:14:04.050Z",
    "endTime": "2026-03-02T09:14:06Z",
}

RECORD: Final[Json] = {
    "name": RECORD_NAME,
    "srn": RECORD_SRN,
    "deposition": DEPOSITION_NAME,
    "run": RUN_NAME,
    "convention": CONVENTION_NAME,
    "metadata": METADATA,
    "fileCount": 1,
    "createTime": "2026-03-02T09:14:06Z",
}

COLUMN_INFO: Final[Json] = {"type": "COLUMN_TYPE_NUMBER"} | {
    key: value for key, value in COLUMN.items() if key != "jsonType"
}
CHAIN_COLUMNS: Final[list[Json]] = [
    {
        "name": "chain_id",
        "type": "COLUMN_TYPE_TEXT",
        "required": True,
        "description": "The chain's name in the structure.",
    },
    {"name": "residue_count", "type": "COLUMN_TYPE_INTEGER", "required": True},
    COLUMN_INFO,
]
ROWS: Final[list[Json]] = [
    {"values": [{"text": "A"}, {"integer": "70"}, {"number": 20.31}]},
    {"values": [{"text": "B"}, {"integer": "68"}, {"null": None}]},
]
SYSTEM_COLUMNS: Final[list[Json]] = [
    {"name": name, "type": kind, "system": True, "required": True, "description": description}
    for name, kind, description in (
        ("id", "COLUMN_TYPE_INTEGER", "Row number."),
        ("record_srn", "COLUMN_TYPE_TEXT", "The record the row is about."),
        ("execution_id", "COLUMN_TYPE_UUID", "The hook execution that made the row: its provenance."),
        ("created_at", "COLUMN_TYPE_TIMESTAMP", "When the row was published."),
    )
]
FEATURE_TABLE: Final[Json] = {
    "name": "featureTables/chains",
    "hook": "chains",
    "table": TABLE,
    "columns": [
        *SYSTEM_COLUMNS,
        *CHAIN_COLUMNS,
    ],
    "rowCountEstimate": "13",
    "conventions": [CONVENTION_NAME],
    "createTime": "2026-03-02T09:00:00.120Z",
    "updateTime": "2026-03-02T09:00:00.120Z",
}

VERDICT_COUNTS: Final[Json] = {"passed": "11", "rejected": "1"}
HOOK: Final[Json] = {
    "name": "hooks/chains",
    "definition": HOOK_DEFINITION,
    "featureTable": "featureTables/chains",
    "conventionCount": 1,
    "verdictCounts": VERDICT_COUNTS,
    "createTime": "2026-03-02T09:00:00Z",
    "updateTime": "2026-03-02T09:00:00Z",
}
HOOK_USE: Final[Json] = {
    "convention": CONVENTION_NAME,
    "definition": HOOK_DEFINITION,
    "createTime": "2026-03-02T09:00:00Z",
}

DELIVERY: Final[Json] = {
    "name": "deliveries/7",
    "eventType": "ConventionRegistered",
    "subject": "pdb-structures@1.0.0",
    "handler": "make_feature_tables",
    "state": "DELIVERY_STATE_DEAD",
    "attempts": 8,
    "lastError": "the database's disk is full",
    "createTime": "2026-03-02T09:00:00Z",
    "updateTime": "2026-03-02T09:21:40Z",
}

SERVER_LIMITS: Final[Json] = {
    "maxMessageBytes": 4194304,
    "maxRunningHooks": 8,
    "maxLogBytes": "16777216",
    "maxProgressEvents": 10000,
    "maxOutputBytes": "10737418240",
    "defaultBookmarkInterval": "15s",
    "maxMetadataBytes": 1048576,
    "requestIdRetention": "86400s",
    "maxRetryMemoryBytes": "8589934592",
    "maxRows": "10000000",
}
ENGINE: Final[Json] = {
    "reachable": True,
    "description": "docker 20.10.24 linux/amd64",
    "cpus": 8.0,
    "memoryBytes": "33554432000",
}
SERVER_INFO: Final[Json] = {
    "version": "0.1.0",
    "srnDomain": "archive.example.org",
    "runtimes": ["oci"],
    "featureKinds": ["table"],
    "columnFormats": ["date-time", "date", "uuid"],
    "containerContracts": ["v1", "v2"],
    "limits": SERVER_LIMITS,
    "engine": ENGINE,
}

COLUMN_CONFLICT: Final[Json] = {
    "column": "residue_count",
    "expected": "integer, required",
    "found": "string, required",
    "expectedColumn": {"name": "residue_count", "jsonType": "JSON_TYPE_INTEGER", "required": True},
    "foundColumn": {"name": "residue_count", "jsonType": "JSON_TYPE_STRING", "required": True},
}
FIELD_DIFFERENCE: Final[Json] = {
    "field": "convention.hooks[0].oci.limits.memory",
    "expected": '"512m"',
    "found": '"1g"',
}
