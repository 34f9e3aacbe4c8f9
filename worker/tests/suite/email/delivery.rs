//! Messages on their way, and what becomes of them.

use queue::{Status, cancel::Cancelled};
use serde_json::json;

use super::{
    Post, kind,
    server::{MailServer, header},
    to,
};
use crate::support::LONG;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_as_it_was_asked_for() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "reply_to = \"help@example.com\"").await;
    let text = "Grüße.\n\n.\nA dot alone ends no message, and a long line neither: ".to_owned() + &"x".repeat(2000);
    let payload = json!({
        "to": ["\"Doe, Bob\" <bob@example.com>", "ann@example.com"],
        "cc": "Carol Ünsal <carol@example.com>",
        "bcc": "dan@example.com",
        "subject": "Ihre Bestellung 4711 ☃ — und ein Betreff, der länger ist als eine Zeile eines Kopfes sein darf",
        "text": text,
        "html": "<p>Grüße</p>",
        "attachments": [
            {"filename": "Rechnung für Ann.pdf", "content_type": "application/pdf", "content": "AAEC/w=="},
            {"filename": "notes.txt", "content_type": "text/plain; charset=utf-8", "content": "aGVsbG8="},
        ],
    });
    let (result, attempt) = post.sent(&payload).await;
    let mail = server.received(1).await.remove(0);
    let everybody = json!(["bob@example.com", "ann@example.com", "carol@example.com", "dan@example.com"]);
    assert_eq!((&mail["sender"], &mail["recipients"]), (&json!("shop@example.com"), &everybody));
    assert_eq!(header(&mail, "From"), ["Shop <shop@example.com>"]);
    assert_eq!(header(&mail, "Reply-To"), ["help@example.com"]);
    assert_eq!(header(&mail, "To"), ["\"Doe, Bob\" <bob@example.com>, ann@example.com"]);
    assert_eq!(header(&mail, "Cc"), ["Carol Ünsal <carol@example.com>"]);
    assert_eq!(header(&mail, "Bcc"), [""; 0]);
    assert_eq!(header(&mail, "Subject"), [payload["subject"].as_str().expect("text")]);
    assert_eq!(header(&mail, "Date").len(), 1);
    assert_eq!(header(&mail, "MIME-Version"), ["1.0"]);
    assert_eq!((&mail["defects"], &mail["bare"]), (&json!([]), &json!(false)), "{mail}");
    let types =
        ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf", "text/plain"];
    assert_eq!(mail["types"], json!(types));
    let parts = mail["parts"].as_array().expect("parts");
    assert_eq!(parts[0]["content"].as_str().expect("text").replace("\r\n", "\n").trim_end(), text);
    assert_eq!(parts[1]["content"].as_str().expect("text").trim_end(), "<p>Grüße</p>");
    let file = json!({"type": "application/pdf", "filename": "Rechnung für Ann.pdf", "disposition": "attachment", "content": "\u{0}\u{1}\u{2}\u{ff}"});
    assert_eq!(parts[2], file);
    assert_eq!((&parts[3]["filename"], &parts[3]["content"]), (&json!("notes.txt"), &json!("hello")));

    assert_eq!(attempt, 1);
    assert_eq!(header(&mail, "Message-ID"), [result["message_id"].as_str().expect("an id")]);
    assert_eq!((&result["accepted"], &result["answer"]), (&everybody, &json!("2.0.0 kept as 4711")));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_or_html_alone_is_a_message_of_one_part() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "").await;
    post.sent(&json!({"to": "ann@example.com", "subject": "", "text": ""})).await;
    post.sent(&json!({"to": ["ann@example.com"], "subject": "x", "html": "<p>hi</p>"})).await;
    let mails = server.received(2).await;
    assert_eq!((&mails[0]["types"], &mails[1]["types"]), (&json!(["text/plain"]), &json!(["text/html"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_recipient_is_the_end_for_all_and_is_named() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "").await;
    let (error, attempt) =
        post.failed(&json!({"to": ["ann@example.com", "refused@example.com"], "subject": "x", "text": "x"})).await;
    assert_eq!(attempt, 1, "no attempt changes that: {error}");
    assert!(
        error.contains("did not accept recipient refused@example.com: permanent error (550): 5.1.1 no such user"),
        "{error}"
    );
    post.sent(&to("bob@example.com")).await;
    assert_eq!(server.mails().len(), 1, "a message goes to all or to none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_refusal_is_tried_again() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "").await;
    let (_, attempt) = post.sent(&to("greylisted@example.com")).await;
    assert_eq!(attempt, 2);
    let failures = post.queue.execute("SELECT error FROM taskrow.failures").await;
    assert!(failures.contains("(451): 4.7.1 come back later"), "{failures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_answer_is_lost_is_the_same_one_when_repeated() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "").await;
    let (error, attempt) = post.failed(&to("cut@example.com")).await;
    assert_eq!(attempt, 3, "{error}");
    let mails = server.received(3).await;
    let ids: Vec<_> = mails.iter().map(|mail| header(mail, "Message-ID")[0]).collect();
    assert!(ids[0].ends_with("@example.com>") && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    post.sent(&to("ann@example.com")).await;
    assert_ne!(header(&server.received(4).await[3], "Message-ID"), [ids[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_is_given_up_and_nothing_is_mixed_up_afterwards() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "timeout = \"500ms\"").await;
    let (error, attempt) = post.failed(&to("stalled@example.com")).await;
    assert_eq!(attempt, 3);
    assert!(error.contains(&format!("127.0.0.1:{} did not answer within 500ms", server.port)), "{error}");
    let (result, _) = post.sent(&to("ann@example.com")).await;
    assert_eq!(result["accepted"], json!(["ann@example.com"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_message_is_not_waited_for() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "").await;
    let id = post.submit(&to("stalled@example.com")).await;
    server.received(1).await;
    assert!(matches!(post.queue.cancel(id).await, Cancelled::Asked(_)));
    post.queue.reaches(id, Status::Cancelled).await;
    post.sent(&to("ann@example.com")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_while_it_is_good() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "").await;
    for _ in 0..3 {
        post.sent(&to("ann@example.com")).await;
    }
    post.failed(&to("refused@example.com")).await;
    post.sent(&to("ann@example.com")).await;
    let mails = server.received(4).await;
    let connections: Vec<_> = mails.iter().map(|mail| mail["connection"].as_u64().expect("a number")).collect();
    assert_eq!(connections, [1, 1, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for() {
    let gone = MailServer::start().await.port;
    let post = Post::with(&kind(gone, "tls = \"none\"")).await;
    let (error, attempt) = post.failed(&to("ann@example.com")).await;
    assert_eq!(attempt, 3);
    assert!(error.starts_with(&format!("cannot use 127.0.0.1:{gone}: ")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_never_reaches_the_server() {
    let server = MailServer::start().await;
    let post = Post::by(&server, "limits = { recipients = 1, attachments = 0 }").await;
    for (payload, field) in [
        (json!({"to": "eve@evil.org", "subject": "x", "text": "x"}), "to[0]: this recipient is not allowed"),
        (json!({"to": "ann@example.com", "bcc": "bob@example.com", "subject": "x", "text": "x"}), "2 recipients"),
        (
            json!({"to": "ann@example.com", "subject": "x\r\nBcc: eve@evil.org", "text": "x"}),
            "subject: must not contain",
        ),
        (
            json!({"to": "ann@example.com>\r\nRCPT TO:<eve@evil.org", "subject": "x", "text": "x"}),
            "to[0]: must not contain",
        ),
        (json!({"to": "ann@example.com", "from": "ceo@example.com", "subject": "x", "text": "x"}), "from: this sender"),
        (
            json!({"to": "ann@example.com", "subject": "x", "text": "x", "headers": {"X": "y"}}),
            "unknown field `headers`",
        ),
        (json!({"to": "ann@example.com", "subject": "x"}), "text, html: at least one"),
        (
            json!({"to": "ann@example.com", "subject": "x", "text": "x",
                "attachments": [{"filename": "a", "content_type": "a/b", "content": ""}]}),
            "attachments: 1, more than",
        ),
        (json!("hello"), "payload: invalid type"),
    ] {
        let (error, attempt) = post.failed(&payload).await;
        assert_eq!(attempt, 1, "{error}");
        assert!(error.starts_with("payload: ") && error.contains(field), "{error}");
    }
    // A body cannot end the message and go on with commands.
    let smuggled = "x\n.\nMAIL FROM:<eve@evil.org>\r\n.\r\nMAIL FROM:<eve@evil.org>\r.\rQUIT";
    post.sent(&json!({"to": "ann@example.com", "subject": "x", "text": smuggled})).await;
    let mails = server.received(1).await;
    assert_eq!((mails.len(), &mails[0]["sender"], &mails[0]["bare"]), (1, &json!("shop@example.com"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_being_handed_over_is_waited_for() {
    let mut server = MailServer::start().await;
    let post = Post::patient(&kind(server.port, "tls = \"none\""), LONG).await;
    let id = post.submit(&to("stalled@example.com")).await;
    server.received(1).await;
    assert!(matches!(post.queue.cancel(id).await, Cancelled::Asked(_)));
    // The first heartbeat after that brings the word to the handler, the second one is sent after it.
    let asked_at = post.queue.execute("SELECT clock_timestamp()").await;
    let beaten =
        format!("SELECT count(*) FROM taskrow.workers WHERE heartbeat_at > '{asked_at}'::timestamptz + '500 ms'");
    post.queue.counts(1, &beaten).await;
    assert_eq!(post.queue.get(id).await.status, Status::Processing);
    server.release().await;
    post.queue.reaches(id, Status::Done).await;
}
