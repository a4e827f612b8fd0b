//! What a status says: for a program by its code, reason and details, never by its message.

use std::error::Error;

use prost::{Message, Name};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// The domain of every `google.rpc.ErrorInfo` of the server's own.
const DOMAIN: &str = "osa-grpc";

/// A status as a program reads it.
pub struct Refusal {
    pub code: &'static str,
    /// Says more than the code, for example `UNKNOWN_COLUMN`. Empty if it was not the server that answered, but the transport.
    pub reason: String,
    /// The paths of the request's fields that are to blame, sorted.
    pub fields: Vec<String>,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice());
        let mut fields: Vec<_> = violations.unwrap_or_default().iter().map(|v| v.field.clone()).collect();
        fields.sort();
        Refusal { code: code_name(status), reason: reason(status).unwrap_or_default(), fields }
    }
}

/// The server's own reason, if it was the server that answered.
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then_some(info.reason)
}

/// The detail of a type of ours, for example `FeatureTableConflict`: tonic-types knows those of `google.rpc` only.
pub fn detail<M: Message + Name + Default>(status: &Status) -> Option<M> {
    let whole = tonic_types::Status::decode(status.details()).ok()?;
    whole.details.iter().find_map(|any| any.to_msg().ok())
}

/// A code by its name in gRPC's documents.
pub fn code_name(status: &Status) -> &'static str {
    match status.code() {
        // A deadline that passes here, before the server has answered, is CANCELLED to tonic.
        Code::Cancelled if has_timed_out(status) => "DEADLINE_EXCEEDED",
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn has_timed_out(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}
