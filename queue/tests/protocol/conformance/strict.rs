//! Queues that accept some kinds only.

use queue::{
    overview,
    strict::{self, Kinds, Strict},
};

use super::specifications;
use crate::support::{
    Harness, sql,
    tasks::{lane, name},
};

specifications![a_queue_is_strict_until_it_is_not, psql_can_make_a_queue_strict, a_list_is_not_empty];

fn kinds(names: &[&str]) -> Kinds {
    names.iter().map(|text| name(text)).collect()
}

async fn a_queue_is_strict_until_it_is_not(queue: &mut Harness) {
    let mail = name("mail");
    assert!(strict::load(&mut queue.durable).await.unwrap().is_empty());
    overview::pause(&mut queue.durable, &mail).await.unwrap();
    assert!(strict::load(&mut queue.durable).await.unwrap().is_empty(), "a row of settings alone is not strict");
    strict::set(&mut queue.durable, &mail, Some(&kinds(&["email", "http"]))).await.unwrap();
    let loaded = strict::load(&mut queue.durable).await.unwrap();
    assert_eq!(loaded, Strict::default().with(mail.clone(), Some(kinds(&["http", "email"]))));
    assert_eq!(loaded.refuses(&lane("mail", "resize")), Some(&kinds(&["email", "http"])));
    for fine in [lane("mail", "email"), lane("other", "resize")] {
        assert_eq!(loaded.refuses(&fine), None, "{fine:?}");
    }
    let seen = overview::overview(&mut queue.durable).await.unwrap().queues.remove("mail").unwrap();
    assert!(seen.paused_at.is_some(), "other settings stay");
    assert_eq!(seen.accepts, Some(vec!["email".to_owned(), "http".to_owned()]));
    strict::set(&mut queue.durable, &mail, None).await.unwrap();
    assert!(strict::load(&mut queue.durable).await.unwrap().is_empty());
}

async fn psql_can_make_a_queue_strict(queue: &mut Harness) {
    let by_hand = "INSERT INTO taskrow.queues (name, kinds) VALUES ('mail', '{email,\"no name\"}')
                   ON CONFLICT (name) DO UPDATE SET kinds = excluded.kinds";
    sql::run(&mut queue.durable, by_hand).await;
    let loaded = strict::load(&mut queue.durable).await.unwrap();
    assert_eq!(loaded.refuses(&lane("mail", "http")), Some(&kinds(&["email"])));
}

async fn a_list_is_not_empty(queue: &mut Harness) {
    for bad in ["{}", "{NULL}"] {
        let insert = format!("INSERT INTO taskrow.queues (name, kinds) VALUES ('mail', '{bad}')");
        let insert = diesel_async::SimpleAsyncConnection::batch_execute(&mut queue.durable, &insert).await;
        assert!(insert.unwrap_err().to_string().contains("queues_kinds"), "{bad}");
    }
}
