//! Shapes that texts must have, as the OpenAPI document tells them. What is checked is checked where it is read (`options`, `query`,
//! `idempotency`); `dev/tests/contract` holds the two together.
//!
//! Patterns are promises: whatever matches is taken. More may be: `366days` and `1 hour` are spans, too.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{AnyOfBuilder, ObjectBuilder, Type},
    },
};

/// Name of a queue or a kind
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._:/-]+$")]
#[expect(dead_code, reason = "describes `queue::task::Name`")]
pub(crate) struct Name(String);

/// Names a task among those of its queue and kind: no control characters
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")]
#[expect(dead_code, reason = "describes `queue::keyed::UniqueKey`")]
pub(crate) struct UniqueKey(String);

/// How long a task waits: at most 366 days.
pub(crate) struct Delay;

/// How long an attempt may run: from a millisecond to 7 days.
pub(crate) struct Timeout;

/// How long a task may wait before its queue is full: from a second to 366 days.
pub(crate) struct Age;

/// How long a client waits for an answer: what is over a minute is cut to it.
pub(crate) struct Patience;

impl PartialSchema for Delay {
    fn schema() -> RefOr<Schema> {
        // Each unit with as many digits as the sum of all may have.
        let pattern = "^([12]?[0-9]{1,2}d)?([0-9]{1,3}h)?([0-9]{1,4}m)?([0-9]{1,5}s)?([0-9]{1,8}ms)?$";
        span(0.0, Some(366.0 * 86_400.0), pattern, "How long to wait before it may run, up to 366 days")
    }
}

impl PartialSchema for Timeout {
    fn schema() -> RefOr<Schema> {
        let pattern = "^([1-7]d|([1-9][0-9]?h)?([1-9][0-9]{0,2}m)?([1-9][0-9]{0,4}s)?([1-9][0-9]{0,6}ms)?)$";
        span(0.001, Some(7.0 * 86_400.0), pattern, "Longest run of one attempt, from 1 ms to 7 days")
    }
}

impl PartialSchema for Age {
    fn schema() -> RefOr<Schema> {
        let pattern = "^([1-9][0-9]?d)?([1-9][0-9]{0,2}h)?([1-9][0-9]{0,3}m)?([1-9][0-9]{0,4}s)?$";
        span(1.0, Some(366.0 * 86_400.0), pattern, "How long a task may wait, from a second to 366 days")
    }
}

impl PartialSchema for Patience {
    fn schema() -> RefOr<Schema> {
        let pattern = "^([0-9]{1,4}m)?([0-9]{1,5}s)?([0-9]{1,8}ms)?$";
        span(0.0, None, pattern, "How long to wait for an answer; what is over a minute is cut to it")
    }
}

impl ToSchema for Delay {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Delay")
    }
}

impl ToSchema for Timeout {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Timeout")
    }
}

impl ToSchema for Age {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Age")
    }
}

impl ToSchema for Patience {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Patience")
    }
}

/// A number of seconds, or numbers with units, the largest first.
fn span(least: f64, most: Option<f64>, units: &str, what: &str) -> RefOr<Schema> {
    let seconds = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(least)).maximum(most);
    // Not empty: every part of the patterns is optional.
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(2)).pattern(Some(units));
    let what = format!("{what}: a number of seconds, or a span such as `90s` or `1h30m`");
    AnyOfBuilder::new().item(seconds).item(text).description(Some(what)).into()
}
