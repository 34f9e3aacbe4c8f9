"""What schemathesis cannot know of this API: how NDJSON is written, and which rules OpenAPI has no words for."""

import json

import schemathesis

# A request that fits the document may be refused for these reasons only. By the problem's type, or by how its reasons begin.
UNSPOKEN_TYPES = {"/problems/idempotency-key-reused", "/problems/unstorable-payload"}
UNSPOKEN_RULES = (
    "payload: a string holds ",
    "run_at: must be at most 366days away",
    # Strict queues, which it makes itself.
    "kind: queue ",
    "kind: kinds that start with taskrow. are Taskrow's own",
)

accepts_valid_data = schemathesis.checks.CHECKS.get_one("positive_data_acceptance")
keys = set()


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    items = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(item) for item in items).encode()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Keeps valid requests valid: leaves out options that exclude or need each other, and does not send a key twice."""
    if not case.meta.generation.mode.is_positive or case.method.upper() != "POST":
        return
    for options in [case.query, *(case.body if isinstance(case.body, list) else [case.body])]:
        if isinstance(options, dict) and (options is case.query or case.path == "/tasks/batch"):
            reconcile(options)
    key = case.headers.get("Idempotency-Key")
    if key in keys:
        case.headers["Idempotency-Key"] = case.id
    keys.add(key)


def reconcile(options):
    # The server of the test allows no callbacks.
    options.pop("callback_url", None)
    if options.get("delay") is not None:
        options.pop("run_at", None)
    if options.get("unique_key") is None:
        options.pop("unique_mode", None)


@schemathesis.check
def valid_data_is_accepted(ctx, response, case):
    """As the built-in `positive_data_acceptance`, but for the rules above."""
    if response.status_code == 422 and is_unspoken(response.json()):
        return None
    return accepts_valid_data(ctx, response, case)


def is_unspoken(problem):
    # A batch tells a reason for each bad item.
    reasons = [error["reason"] for error in problem.get("errors", [])] or [problem["detail"]]
    return problem["type"] in UNSPOKEN_TYPES or all(reason.startswith(UNSPOKEN_RULES) for reason in reasons)
