"""hypothesis strategies for domain values, as the wire can carry them."""

from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import strategies as st

from osa_grpc.domain import run_event as events
from osa_grpc.domain.column import COLUMN_FORMATS, RESERVED_COLUMN_NAMES, ColumnDef, JsonType
from osa_grpc.domain.convention import (
    Convention,
    ConventionDefinition,
    ConventionState,
    FileRequirements,
    ReviewMode,
)
from osa_grpc.domain.delivery import Delivery, DeliveryState
from osa_grpc.domain.deposition import Deposition, DepositionFile, DepositionState
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.feature import FeatureTable
from osa_grpc.domain.hook import Cardinality, HookDefinition, OciConfig, OciLimits, TableFeatureSpec
from osa_grpc.domain.hook_summary import HookSummary, HookUse, VerdictCounts
from osa_grpc.domain.names import ConventionRef, RecordRef
from osa_grpc.domain.record import Record
from osa_grpc.domain.run import (
    DepositionSource,
    HookExecution,
    HookExecutionState,
    HookProgress,
    Provenance,
    Review,
    ReviewDecision,
    Run,
    RunState,
    Verdict,
    Waiting,
    WaitingReason,
)

T = TypeVar("T", HookExecution, events.HookFinished)

plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
some_text = plain_text.filter(bool)
identifiers = st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True)
uuids = st.uuids().map(str)
counts = st.integers(0, 2**31 - 1)
instants = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
durations = st.timedeltas(timedelta(), timedelta(days=400))
digests = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
hex_digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
versions = st.builds(
    "{}.{}.{}{}".format, counts, counts, counts, st.sampled_from(["", "-rc.1", "+build"])
).filter(lambda text: all(len(part) < 10 for part in text.split("-")[0].split("+")[0].split(".")))

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e15, 1e15).filter(lambda x: x != int(x))
    | plain_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_text, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(plain_text, json_values, max_size=4)

limits = st.builds(
    OciLimits,
    timeout_seconds=st.integers(1, 86_400),
    memory=st.sampled_from(["6m", "2g", "1024g", "6144k"]),
    cpu=st.sampled_from(["0.01", "2.0", "1024", "3.125"]),
)
oci_configs = st.builds(
    OciConfig,
    image=st.from_regex(r"[a-z0-9./:-]{1,40}", fullmatch=True),
    digest=digests,
    config=json_objects,
    limits=limits,
)


@st.composite
def columns(draw: st.DrawFn, names: st.SearchStrategy[str] = identifiers) -> ColumnDef:
    json_type = draw(st.sampled_from(JsonType))
    formats = ("", *COLUMN_FORMATS) if json_type is JsonType.STRING else ("",)
    return ColumnDef(
        name=draw(names),
        json_type=json_type,
        format=draw(st.sampled_from(formats)),
        required=draw(st.booleans()),
        description=draw(plain_text),
        unit=draw(plain_text),
    )


def column_lists(names: st.SearchStrategy[str] = identifiers) -> st.SearchStrategy[tuple[ColumnDef, ...]]:
    return st.lists(columns(names), max_size=4, unique_by=lambda column: column.name).map(tuple)


table_specs = st.builds(
    TableFeatureSpec,
    cardinality=st.sampled_from(Cardinality),
    columns=column_lists(identifiers.filter(lambda name: name not in RESERVED_COLUMN_NAMES)),
)
hooks = st.builds(HookDefinition, name=identifiers, runtime=oci_configs, feature=table_specs)

convention_refs = st.builds(
    ConventionRef, id=st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True), version=versions
)
record_refs = st.builds(RecordRef, id=uuids, version=st.integers(1, 10**9 - 1))
file_requirements = st.builds(
    FileRequirements,
    min_count=st.integers(0, 10),
    max_count=st.integers(10, 10_000),
    max_size_bytes=st.integers(1, 2**40),
    extensions=st.lists(st.sampled_from([".cif", ".cif.gz", ".ä"]), max_size=3).map(tuple),
)
definitions = st.builds(
    ConventionDefinition,
    ref=convention_refs,
    title=some_text,
    description=plain_text,
    metadata_schema=column_lists(),
    file_requirements=file_requirements,
    hooks=st.lists(hooks, max_size=3, unique_by=lambda hook: hook.name).map(tuple),
    review=st.sampled_from(ReviewMode),
)
conventions = st.builds(
    Convention,
    definition=definitions,
    state=st.sampled_from(ConventionState),
    failure=st.none() | plain_text,
    created_at=instants,
    updated_at=instants,
)

depositions = st.builds(
    Deposition,
    id=uuids,
    convention=convention_refs,
    metadata=json_objects,
    file_count=counts,
    state=st.sampled_from(DepositionState),
    run=st.none() | uuids,
    record=st.none() | record_refs,
    rejection_reason=st.none() | some_text,
    revision=st.integers(1, 2**40),
    created_at=instants,
    updated_at=instants,
)
file_names = st.sampled_from(["1abc.cif", "mit Leerzeichen ä.cif", "a@b", "x" * 255])
deposition_files = st.builds(
    DepositionFile,
    deposition=uuids,
    file_name=file_names,
    key=st.just(""),
    size_bytes=st.integers(0, 2**40),
    sha256=hex_digests,
    media_type=plain_text,
    created_at=instants,
)
hook_summaries = st.builds(
    HookSummary,
    definition=hooks,
    convention_count=st.integers(1, 2**31 - 1),
    verdict_counts=st.builds(VerdictCounts, passed=counts, rejected=counts, failed=counts),
    created_at=instants,
    updated_at=instants,
)
hook_uses = st.builds(HookUse, convention=convention_refs, definition=hooks, created_at=instants)
deliveries = st.builds(
    Delivery,
    id=st.integers(1, 2**63 - 1),
    event_type=plain_text,
    key=plain_text,
    handler=plain_text,
    state=st.sampled_from(DeliveryState),
    attempts=counts,
    last_error=st.none() | some_text,
    next_attempt_at=st.none() | instants,
    created_at=instants,
    updated_at=instants,
)


def _with_rows_only_if_passed(value: T) -> T:
    return value if value.verdict is Verdict.PASSED else value.model_copy(update={"row_count": 0})


records = st.builds(
    Record,
    ref=record_refs,
    srn=some_text,
    deposition=uuids,
    run=uuids,
    convention=convention_refs,
    metadata=json_objects,
    file_count=counts,
    created_at=instants,
)

failures = st.builds(Failure, kind=st.sampled_from(FailureKind), message=plain_text, retryable=st.booleans())
progress = st.builds(HookProgress, step=plain_text, status=plain_text, message=plain_text)
provenances = st.builds(
    Provenance,
    image=some_text,
    digest=digests,
    image_id=plain_text,
    config_sha256=plain_text,
    input_sha256=plain_text,
    output_sha256=plain_text,
    limits=st.none() | limits,
    engine=plain_text,
)
waits = st.builds(Waiting, reason=st.sampled_from(WaitingReason), until=st.none() | instants)
executions = st.builds(
    HookExecution,
    id=st.uuids(),
    hook=identifiers,
    attempt=counts,
    state=st.sampled_from(HookExecutionState),
    waiting=st.none() | waits,
    verdict=st.none() | st.sampled_from(Verdict),
    rejection_reason=st.none() | some_text,
    failure=st.none() | failures,
    progress=st.none() | progress,
    log_bytes=st.integers(0, 2**40),
    row_count=st.integers(0, 2**40),
    created_at=st.none() | instants,
    started_at=st.none() | instants,
    ended_at=st.none() | instants,
    provenance=st.none() | provenances,
).map(_with_rows_only_if_passed)
reviews = st.builds(
    Review,
    decision=st.sampled_from(ReviewDecision),
    reason=some_text.filter(str.strip),
    reviewed_at=instants,
) | st.builds(Review, decision=st.just(ReviewDecision.APPROVE), reason=plain_text, reviewed_at=instants)
runs = st.builds(
    Run,
    id=uuids,
    source=st.builds(DepositionSource, deposition=uuids),
    convention=convention_refs,
    state=st.sampled_from(RunState),
    executions=st.lists(executions, max_size=3).map(tuple),
    failure=st.none() | failures,
    rejection_reason=st.none() | some_text,
    record=st.none() | record_refs,
    retry_of=st.none() | uuids,
    review=st.none() | reviews,
    last_sequence=st.just(0),
    created_at=instants,
    started_at=st.none() | instants,
    ended_at=st.none() | instants,
)

run_event_kinds = st.one_of(
    st.builds(events.RunStarted),
    st.builds(events.HookStarted, hook=identifiers, attempt=counts, image_id=plain_text),
    st.builds(
        events.HookProgressed, hook=identifiers, attempt=counts, progress=progress, dropped_count=counts
    ),
    st.builds(
        events.HookRetrying,
        hook=identifiers,
        attempt=counts,
        cause=failures,
        retry_delay=durations,
        memory=st.none() | some_text,
    ),
    st.builds(
        events.HookFinished,
        hook=identifiers,
        attempt=counts,
        verdict=st.sampled_from(Verdict),
        rejection_reason=st.none() | some_text,
        failure=st.none() | failures,
        row_count=counts,
        duration=durations,
    ).map(_with_rows_only_if_passed),
    st.builds(events.ReviewRequested),
    st.builds(events.Reviewed, decision=st.sampled_from(ReviewDecision), reason=plain_text),
    st.builds(events.CancelRequested),
    st.builds(events.RecordPublished, record=record_refs),
    st.builds(
        events.RunFinished,
        state=st.sampled_from(RunState),
        record=st.none() | record_refs,
        rejection_reason=st.none() | some_text,
        failure=st.none() | failures,
    ),
)
run_events = st.builds(
    events.RunEvent, sequence=st.integers(1, 2**40), occurred_at=instants, body=run_event_kinds
)
feature_tables = st.builds(
    FeatureTable,
    hook=identifiers,
    spec=table_specs,
    version=st.just(1),
    made_version=st.just(0),
    row_count_estimate=counts,
    conventions=st.lists(convention_refs, max_size=3).map(tuple),
    created_at=instants,
    updated_at=instants,
)
