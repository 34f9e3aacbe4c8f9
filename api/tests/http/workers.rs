//! GET /workers

use crate::support::{App, TestWorker, redacted};

#[tokio::test]
async fn workers_show_whether_they_live() {
    let app = App::start().await;
    let first = TestWorker::register(&app.database).await;
    TestWorker::register(&app.database).await;
    let late =
        format!("UPDATE taskrow.workers SET heartbeat_at = now() - interval '2 minutes' WHERE id = {}", first.id.0);
    app.database.execute(&late).await;
    insta::assert_json_snapshot!("workers", redacted(app.get("/workers").await.json()));
    app.get("/workers?state=alive").await.problem(422, "invalid-option");
}
