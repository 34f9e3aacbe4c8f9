//! Who may do what at Redis, and what is said when it is not enough.

use local_redis::Server;

use crate::support::{Bed, args, ask, eventually, eventually_is, within};

/// The user that the documents tell to make.
const DOCUMENTED: &str = "ACL SETUSER taskrow on >secret ~taskrow:* +@stream +expire +select";

#[tokio::test]
async fn a_wrong_password_is_missing_and_recovers() {
    let server = Server::with(&[("requirepass", "secret")]).unwrap();
    let address = server.address();
    let bed = Bed::with(server, args(&format!("redis://:secret@{address}")).dispatch().unwrap());
    let readiness = bed.watched();
    eventually_is(&readiness, Ok(())).await;
    let login = format!(":secret@{address}");
    ask::<()>(&login, "CONFIG SET requirepass other").await;
    ask::<i64>(&format!(":other@{address}"), "CLIENT KILL TYPE normal SKIPME yes").await;
    eventually_is(&readiness, Err("authentication failed")).await;
    let reason = readiness.report().dependencies["redis"].clone().unwrap_err();
    assert!(!reason.contains("secret"), "{reason}");
    ask::<()>(&format!(":other@{address}"), "CONFIG SET requirepass secret").await;
    eventually_is(&readiness, Ok(())).await;
}

#[tokio::test]
async fn a_missing_password_is_missing() {
    let server = Server::with(&[("requirepass", "secret")]).unwrap();
    let bed = Bed::on(server);
    eventually_is(&bed.watched(), Err("NOAUTH")).await;
}

#[tokio::test]
async fn the_documented_user_may_do_what_is_needed() {
    let server = Server::start().unwrap();
    let address = server.address();
    ask::<()>(&address, DOCUMENTED).await;
    let bed = Bed::with(server, args(&format!("redis://taskrow:secret@{address}")).dispatch().unwrap());
    let publishing = bed.publishing();
    let readiness = bed.watched();
    eventually_is(&readiness, Ok(())).await;
    let mut worker = bed.worker(1);
    let published = publishing.some(3);
    let delivery = worker.next(10).await;
    worker.source.put_back(delivery).await;
    worker.take_all(&published).await;
    worker.leave().await;
    assert!(bed.consumers().await.is_empty());
    let denied: redis::Value = bed.ask("ACL LOG").await;
    assert_eq!(denied, redis::Value::Array(Vec::new()), "nothing was denied");
}

#[tokio::test]
async fn a_user_who_may_not_write_is_missing() {
    let server = Server::start().unwrap();
    let address = server.address();
    ask::<()>(&address, DOCUMENTED).await;
    ask::<()>(&address, "ACL SETUSER taskrow -xadd").await;
    let bed = Bed::with(server, args(&format!("redis://taskrow:secret@{address}")).dispatch().unwrap());
    let readiness = bed.watched();
    eventually_is(&readiness, Err("xadd")).await;
    ask::<()>(&address, "ACL SETUSER taskrow +xadd").await;
    eventually_is(&readiness, Ok(())).await;
}

#[tokio::test]
async fn two_databases_of_a_server_do_not_hear_of_each_other() {
    let server = Server::start().unwrap();
    let address = server.address();
    let bed = Bed::with(server, args(&format!("redis://{address}/1")).dispatch().unwrap());
    let other = args(&format!("redis://{address}/2")).dispatch().unwrap();
    let publishing = bed.publishing();
    let published = publishing.some(1);
    eventually("it is published", async || bed.count("published_batches") == 1).await;
    let (mut source, reader) = other.source(queue::workers::WorkerId(1), &[crate::support::lane("echo")]);
    let mut worker = bed.worker(1);
    let reading = async {
        tokio::select! {
            delivery = source.next(10) => panic!("{delivery:?}"),
            heard = worker.take_all(&published) => assert_eq!(heard, 1),
        }
    };
    within("the right one hears of it", async {
        tokio::select! {
            () = reading => {}
            () = reader.run(tokio_util::sync::CancellationToken::new()) => {}
        }
    })
    .await;
}
