//! Metrics for those only who may read them.

use service::tokens::{Scope, Secret, Token, entry};

use crate::support::{
    process::{Process, run},
    queue::Queue,
};

fn client(scopes: &[Scope], queues: Option<Vec<String>>) -> (Secret, String) {
    let secret = Secret::random().expect("random bytes");
    let token = Token::new("client".to_owned(), scopes, queues).expect("a good entry");
    let entry = entry(&token, &secret);
    (secret, entry)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_tokens_metrics_take_one_and_probes_do_not() {
    let queue = Queue::new().await;
    let (reader, read) = client(&[Scope::Read], None);
    let (submitter, submit) = client(&[Scope::Submit], None);
    let (limited, of_mail) = client(&[Scope::Read], Some(vec!["mail".to_owned()]));
    let list = [read, submit, of_mail].concat();
    let worker = Process::start(&queue, &[("API_TOKENS", &list)]);
    worker.registered(1).await;
    for (secret, status) in [
        (None, 401),
        (Some(Secret::random().expect("random bytes")), 401),
        (Some(submitter), 403),
        (Some(limited), 403),
        (Some(reader), 200),
    ] {
        let authorization = secret.map(|secret| format!("Bearer {}", secret.reveal()));
        let (found, body) = worker.get_as("/metrics", authorization.as_deref()).await;
        assert_eq!(found, status, "{body}");
        assert_eq!(body.contains("taskrow_worker_tokens_stale 0"), status == 200, "{body}");
        assert_eq!(body.contains("about:blank"), status != 200, "{body}");
    }
    for path in ["/live", "/ready"] {
        assert_eq!(worker.get(path).await.0, 200, "{path}");
    }
}

/// The Job gets the setting with all others, and no file.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_list_keeps_a_worker_from_starting_and_cleanup_does_not_look_at_it() {
    let queue = Queue::new().await;
    let mut environment = queue.environment();
    environment.push(("API_TOKENS_FILE", "/nowhere/tokens.toml".to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ended = run(&[], &environment).await;
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(64), 1), "{ended:?}");
    assert!(ended.stderr.contains("API_TOKENS_FILE /nowhere/tokens.toml"), "{ended:?}");
    assert_eq!(run(&["cleanup"], &environment).await.code, Some(0));
}
