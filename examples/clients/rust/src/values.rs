//! Enums, kinds of events and values of rows, by name and as JSON; and what becomes of those that a newer server sends.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::contract::{self, RunEvent};

/// An enum's value by its name in the contract; one that a newer server sends and this client does not know by its number.
///
/// prost keeps every number that comes, in an i32. (The accessor, `run.state()`, would make an unknown one UNSPECIFIED.)
pub fn enum_name<E: TryFrom<i32>>(number: i32, name: fn(&E) -> &'static str) -> String {
    E::try_from(number).map_or_else(|_| number.to_string(), |value| name(&value).to_owned())
}

/// An event's kind. `None` for a kind of a newer server: the event counts in the sequence, and a client goes on to the next.
pub fn kind_name(event: &RunEvent) -> Option<&'static str> {
    use contract::run_event::Kind;
    Some(match event.kind.as_ref()? {
        Kind::RunStarted(_) => "run_started",
        Kind::HookStarted(_) => "hook_started",
        Kind::HookProgress(_) => "hook_progress",
        Kind::HookRetrying(_) => "hook_retrying",
        Kind::HookFinished(_) => "hook_finished",
        Kind::ReviewRequested(_) => "review_requested",
        Kind::Reviewed(_) => "reviewed",
        Kind::CancelRequested(_) => "cancel_requested",
        Kind::RecordPublished(_) => "record_published",
        Kind::RunFinished(_) => "run_finished",
    })
}

/// A value of a row as JSON. `None` is a kind of a newer server, and not null, which is a kind of its own.
pub fn json_value(value: contract::Value) -> Result<Value> {
    use contract::value::Kind;
    Ok(match value.kind {
        None => bail!("a value of a kind that is not known here: a newer client is needed"),
        Some(Kind::Null(_)) => Value::Null,
        Some(Kind::Number(number)) => json!(number),
        Some(Kind::Integer(integer)) => json!(integer),
        Some(Kind::Boolean(boolean)) => json!(boolean),
        Some(Kind::Text(text) | Kind::Date(text) | Kind::Uuid(text)) => json!(text),
        Some(Kind::Timestamp(instant)) => json!(instant.to_string()),
        Some(Kind::Json(text)) => serde_json::from_str(&text)?,
    })
}
