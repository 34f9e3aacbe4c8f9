//! Workers are told of what is submitted, after it can be claimed.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use queue::wakeup::{Heard, Hint, listen};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{App, TestDb};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_submit_is_told_of_once_it_can_be_claimed() {
    let app = App::start().await;
    let (send, mut heard) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let hear = move |news| {
        if let Heard::Hint(Hint::Work(queue)) = news {
            let _ = send.send(queue.to_string());
        } else if news == Heard::Listening(true) {
            let _ = send.send("listening".to_owned());
        }
    };
    let listening = service::tasks::Tasks::new().spawn(listen(TestDb::at(app.database.url()), stop.clone(), hear));
    assert_eq!(heard.recv().await.unwrap(), "listening");

    // One at a time, the statement that tells follows the one that stores; in bursts another connection tells.
    for (round, together) in [1, 1, 1, 20, 1, 1, 20].into_iter().enumerate() {
        let queues: Vec<_> = (0..together).map(|number| format!("r{round}.{number}")).collect();
        let submits = join_all(queues.iter().map(|queue| {
            let app = &app;
            async move { app.submit(&format!("?queue={queue}"), "1").await }
        }));
        let told = async {
            let mut missing: BTreeSet<_> = queues.iter().cloned().collect();
            while !missing.is_empty() {
                let queue = heard.recv().await.unwrap();
                let ready = format!("SELECT count(*) FROM taskrow.ready WHERE queue = '{queue}'");
                assert_eq!(app.database.number(&ready).await, 1, "told of {queue} before it was there");
                missing.remove(&queue);
            }
        };
        futures_util::join!(submits, told);
    }
    stop.cancel();
    listening.await.unwrap();
}
