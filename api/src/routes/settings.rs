//! PATCH /queues/{name}

use std::collections::BTreeSet;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
};
use queue::{
    strict::{self, KINDS_LIMIT, Kinds},
    task::Name,
};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    path::QueuePath,
    queues::{QueueView, now},
};
use crate::{
    access::Caller,
    batch::malformed,
    body::Format,
    problem::{Kind, Problem},
    query::{Query, invalid},
    shapes,
    state::AppState,
};

/// Longest body: a hundred names with room to spare.
const BODY_LIMIT: usize = 16 * 1024;

/// What to change about a queue.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `read` reads")]
pub(crate) struct QueueSettings {
    /// The only kinds that the queue accepts, 1 to 100; null: any.
    #[schema(required, min_items = 1, max_items = 100)]
    kinds: Option<Vec<shapes::Name>>,
}

/// Make a queue strict, or not
///
/// A strict queue accepts the listed kinds only: a submit of another one is refused with 422. What was accepted before is not touched.
/// Other API processes follow within seconds. A queue may be made strict before
/// its first task.
#[utoipa::path(
    patch,
    path = "/queues/{name}",
    tag = "queues",
    operation_id = "updateQueue",
    params(("name" = shapes::Name, Path, description = "The queue; write / as %2F")),
    request_body(content = QueueSettings, content_type = "application/json", example = json!({"kinds": ["email", "http"]})),
    responses((status = 200, description = "The queue as it is now", body = QueueView))
)]
pub(crate) async fn update_queue(
    State(state): State<AppState>,
    caller: Caller,
    QueuePath(name): QueuePath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    caller.check_queue(name.as_str(), &state.metrics.access)?;
    if Format::of(&headers) != Some(Format::Json) {
        return Err(Problem::new(Kind::UnsupportedMediaType, "send JSON with `content-type: application/json`"));
    }
    let kinds = read(state.bodies.receive(body, BODY_LIMIT).await?.bytes())?;
    let (queue, strict) = (name.clone(), state.strict.clone());
    let (changed, given) = (queue.clone(), kinds.clone());
    let work = state.store.run(
        move |connection| {
            let (queue, kinds) = (queue.clone(), kinds.clone());
            Box::pin(async move { strict::set(connection, &queue, kinds.as_ref()).await })
        },
        // In this process it holds at once.
        move |_| strict.change(changed, given),
    );
    work.await?;
    // The look that is under way may have been too early to see the change.
    state.suspicion.raise();
    now(&state, &name).await
}

fn read(text: &[u8]) -> Result<Option<Kinds>, Problem> {
    const EXPECTED: &str = "must be null or a list of 1 to 100 kinds";
    let members: Map<String, Value> = match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Err(invalid("kinds", "the body must be an object such as {\"kinds\": [\"email\"]}")),
        Err(error) => return Err(malformed(&error.to_string())),
    };
    if let Some(unknown) = members.keys().find(|name| *name != "kinds") {
        return Err(invalid(unknown, "unknown; there is kinds"));
    }
    match members.get("kinds") {
        None => Err(invalid("kinds", "missing; it is null or a list of 1 to 100 kinds")),
        Some(Value::Null) => Ok(None),
        Some(Value::Array(kinds)) if (1..=KINDS_LIMIT).contains(&kinds.len()) => {
            let name = |kind: &Value| match kind {
                Value::String(text) => Name::new(text.as_str()).map_err(|error| invalid("kinds", &error.to_string())),
                _ => Err(invalid("kinds", EXPECTED)),
            };
            kinds.iter().map(name).collect::<Result<BTreeSet<_>, _>>().map(Some)
        }
        Some(_) => Err(invalid("kinds", EXPECTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_strictly() {
        let kinds = read(br#"{"kinds": ["email", "http", "email"]}"#).unwrap().unwrap();
        assert_eq!(kinds.iter().map(Name::as_str).collect::<Vec<_>>(), ["email", "http"]);
        assert_eq!(read(br#"{"kinds": null}"#).unwrap(), None);
        let many = format!("{{\"kinds\": [{}]}}", vec!["\"k\""; 101].join(","));
        for bad in [
            "{}",
            "[]",
            "{\"kinds\": []}",
            "{\"kinds\": \"email\"}",
            "{\"kinds\": [1]}",
            "{\"kinds\": [\"a b\"]}",
            &many,
        ] {
            assert!(format!("{:?}", read(bad.as_bytes()).unwrap_err()).contains("kinds"), "{bad}");
        }
        assert!(format!("{:?}", read(br#"{"paused": true}"#).unwrap_err()).contains("paused"));
        assert_eq!(read(b"{").unwrap_err().kind(), Kind::MalformedJson);
    }
}
