//! How fast clients may ask.

use api::ApiArgs;
use service::tokens::Scope::{Read, Submit};

use crate::support::{Answer, App, Client, Clients, Setup};

/// Three requests at once, and then one an hour.
fn slow(args: &mut ApiArgs) {
    args.rate.limit = Some("1/h".parse().unwrap());
    args.rate.burst = Some(3.try_into().unwrap());
}

/// How many of five requests are answered.
async fn answered(request: impl AsyncFn() -> Answer) -> usize {
    let mut count = 0;
    for _ in 0..5 {
        let answer = request().await;
        if answer.status == 200 {
            count += 1;
            continue;
        }
        answer.problem(429, "rate-limited");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        // The next one may come an hour after the first three, some of which has passed.
        assert!((1..=3600).contains(&after), "{after}");
    }
    count
}

#[tokio::test]
async fn by_default_there_is_no_limit() {
    let app = App::start().await;
    assert_eq!(answered(async || app.get("/queues").await).await, 5);
}

#[tokio::test]
async fn without_tokens_each_address_has_its_allowance() {
    let app = Setup::with(slow).start().await;
    assert_eq!(answered(async || app.get("/queues").await).await, 3);
    // Nobody trusts a header that the client made up.
    let forged =
        async || Answer::of(app.request(reqwest::Method::GET, "/queues").header("x-forwarded-for", "192.0.2.1")).await;
    assert_eq!(answered(forged).await, 0);
    app.post_json("/tasks", "1").await.problem(429, "rate-limited");
    assert_eq!(app.database.number("SELECT count(*) FROM tasks").await, 0);
    for path in ["/live", "/ready", "/problems", "/metrics", "/openapi.json"] {
        assert_eq!(answered(async || app.get(path).await).await, 5, "{path}");
    }
    let text = app.get("/metrics").await.text;
    assert!(text.contains("taskrow_api_access_refused_total{reason=\"rate\"} 8"), "{text}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_whom_it_names() {
    let setup = Setup::with(|args| {
        slow(args);
        args.rate.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let app = setup.start().await;
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        let ask =
            async || Answer::of(app.request(reqwest::Method::GET, "/queues").header("x-forwarded-for", client)).await;
        assert_eq!(answered(ask).await, 3, "{client}");
    }
    let neighbour = app.request(reqwest::Method::GET, "/queues").header("x-forwarded-for", "2001:db8::2");
    Answer::of(neighbour).await.problem(429, "rate-limited");
}

#[tokio::test]
async fn each_token_has_its_allowance_whatever_others_do() {
    let mut clients = Clients::default();
    let one = clients.add("one", &[Read], None);
    let one_renewed = clients.add("one", &[Read], None);
    let two = clients.add("two", &[Read, Submit], None);
    let app = Setup::with(slow).guarded(clients.args()).start().await;
    assert_eq!(answered(async || app.with(&one).get("/queues").await).await, 3);
    assert_eq!(
        answered(async || app.with(&one_renewed).get("/queues").await).await,
        0,
        "a second secret is no second allowance"
    );
    let nobody = Client { app: &app, secret: None };
    for _ in 0..3 {
        nobody.get("/queues").await.problem(401, "unauthorized");
    }
    nobody.get("/queues").await.problem(429, "rate-limited");
    assert_eq!(answered(async || app.with(&two).get("/queues").await).await, 3);
    app.with(&two).post_json("/tasks", "1").await.problem(429, "rate-limited");
}
