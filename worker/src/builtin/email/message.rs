//! From a payload to a message that the operator allows. Pure.

use lettre::{
    Address, Message,
    message::{Attachment as Part, Mailbox, MultiPart, SinglePart, header::ContentType},
};
use queue::TaskId;
use serde::Deserialize;

use super::{
    mailbox::{self, BadMailbox},
    payload::{Addresses, Attachment, Payload},
    rules::{Pattern, allows},
};

/// A message on its way.
pub(super) struct Outgoing {
    /// With its angle brackets.
    pub(super) message_id: String,
    pub(super) sender: Address,
    /// Each once.
    pub(super) recipients: Vec<Address>,
    /// Headers and parts, ASCII only.
    pub(super) content: Vec<u8>,
}

/// What the operator allows.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    pub(super) from: Mailbox,
    /// Besides [`Allowed::from`].
    pub(super) other_from: Vec<Pattern>,
    pub(super) reply_to: Option<Mailbox>,
    pub(super) recipients: Vec<Pattern>,
    pub(super) limits: Limits,
}

/// The most a payload may ask for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// Addresses in `to`, `cc` and `bcc` together.
    pub(super) recipients: usize,
    /// Bytes.
    pub(super) subject_bytes: usize,
    /// Bytes of `text` and `html` together.
    pub(super) body_bytes: usize,
    pub(super) attachments: usize,
    /// Bytes of all of them, decoded.
    pub(super) attachment_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { recipients: 50, subject_bytes: 500, body_bytes: 1 << 20, attachments: 10, attachment_bytes: 10 << 20 }
    }
}

impl Allowed {
    /// The message of a task. What is refused is said with its field, and nothing of its content.
    pub(super) fn compose(&self, task: TaskId, payload: Payload) -> Result<Outgoing, String> {
        let from = self.sender(payload.from.as_deref())?;
        let message_id = format!("<{task}@{}>", from.email.domain());
        let sender = from.email.clone();
        let mut message = Message::builder().message_id(Some(message_id.clone())).from(from);
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(reply_to.clone());
        }
        let [to, cc, bcc] = self.recipients(&payload)?;
        let recipients = each_once([&to, &cc, &bcc]);
        message = to.into_iter().fold(message, |message, to| message.to(to));
        message = cc.into_iter().fold(message, |message, cc| message.cc(cc));
        message = message.subject(one_line("subject", &payload.subject, self.limits.subject_bytes)?);
        let body = self.body(payload.text, payload.html)?;
        let attachments = self.attachments(payload.attachments)?;
        let message = match (body, attachments) {
            (Body::Single(part), parts) if parts.is_empty() => message.singlepart(part),
            (Body::Both(part), parts) if parts.is_empty() => message.multipart(part),
            (body, parts) => {
                let mixed = MultiPart::mixed().build();
                let mixed = match body {
                    Body::Single(part) => mixed.singlepart(part),
                    Body::Both(part) => mixed.multipart(part),
                };
                message.multipart(parts.into_iter().fold(mixed, MultiPart::singlepart))
            }
        };
        let message = message.map_err(|error| error.to_string())?;
        Ok(Outgoing { message_id, sender, recipients, content: message.formatted() })
    }

    fn sender(&self, wanted: Option<&str>) -> Result<Mailbox, String> {
        let Some(wanted) = wanted else { return Ok(self.from.clone()) };
        let wanted = mailbox::read(wanted).map_err(|reason| format!("from: {reason}"))?;
        if wanted == self.from || allows(&self.other_from, &wanted.email) {
            Ok(wanted)
        } else {
            Err("from: this sender is not allowed".to_owned())
        }
    }

    fn recipients(&self, payload: &Payload) -> Result<[Vec<Mailbox>; 3], String> {
        let Payload { to, cc, bcc, .. } = payload;
        if to.0.is_empty() {
            return Err("to: must name somebody".to_owned());
        }
        let given = to.0.len() + cc.0.len() + bcc.0.len();
        if given > self.limits.recipients {
            return Err(format!("to, cc, bcc: {given} recipients, more than the {} allowed", self.limits.recipients));
        }
        Ok([self.mailboxes("to", to)?, self.mailboxes("cc", cc)?, self.mailboxes("bcc", bcc)?])
    }

    fn mailboxes(&self, field: &str, addresses: &Addresses) -> Result<Vec<Mailbox>, String> {
        let read = |(place, text): (usize, &String)| {
            let mailbox = mailbox::read(text).map_err(|reason: BadMailbox| format!("{field}[{place}]: {reason}"))?;
            if allows(&self.recipients, &mailbox.email) {
                Ok(mailbox)
            } else {
                Err(format!("{field}[{place}]: this recipient is not allowed"))
            }
        };
        addresses.0.iter().enumerate().map(read).collect()
    }

    fn body(&self, text: Option<String>, html: Option<String>) -> Result<Body, String> {
        let bytes = text.as_ref().map_or(0, String::len) + html.as_ref().map_or(0, String::len);
        if bytes > self.limits.body_bytes {
            return Err(format!("text, html: {bytes} bytes, more than the {} allowed", self.limits.body_bytes));
        }
        match (text.map(with_good_breaks), html.map(with_good_breaks)) {
            (Some(text), Some(html)) => Ok(Body::Both(MultiPart::alternative_plain_html(text, html))),
            (Some(text), None) => Ok(Body::Single(SinglePart::plain(text))),
            (None, Some(html)) => Ok(Body::Single(SinglePart::html(html))),
            (None, None) => Err("text, html: at least one of them".to_owned()),
        }
    }

    fn attachments(&self, files: Vec<Attachment>) -> Result<Vec<SinglePart>, String> {
        let Limits { attachments, attachment_bytes, .. } = self.limits;
        if files.len() > attachments {
            return Err(format!("attachments: {}, more than the {attachments} allowed", files.len()));
        }
        let bytes: usize = files.iter().map(|file| file.content.0.len()).sum();
        if bytes > attachment_bytes {
            return Err(format!("attachments: {bytes} bytes, more than the {attachment_bytes} allowed"));
        }
        files.into_iter().enumerate().map(|(place, file)| part(place, file)).collect()
    }
}

/// Lone carriage returns become line breaks: some servers take one for the end of a line, and what follows for a command.
fn with_good_breaks(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}

enum Body {
    Single(SinglePart),
    Both(MultiPart),
}

fn part(place: usize, file: Attachment) -> Result<SinglePart, String> {
    let field = |name: &str| format!("attachments[{place}].{name}");
    let filename = one_line(&field("filename"), &file.filename, 200)?;
    if filename.is_empty() || filename.contains(['/', '\\', '"']) {
        return Err(format!("{}: must be a name without / \\ \"", field("filename")));
    }
    let content_type = one_line(&field("content_type"), &file.content_type, 200)?;
    let composite = |prefix| content_type.get(..10).is_some_and(|start| start.to_ascii_lowercase().starts_with(prefix));
    let parsed = ContentType::parse(&content_type).ok().filter(|_| content_type.is_ascii());
    match parsed {
        Some(content_type) if !composite("multipart/") && !composite("message/") => {
            Ok(Part::new(filename).body(file.content.0, content_type))
        }
        _ => Err(format!("{}: must be a type as application/pdf", field("content_type"))),
    }
}

/// What goes into a header: lettre encodes it, but nothing that could end the header ever gets that far.
fn one_line(field: &str, text: &str, limit: usize) -> Result<String, String> {
    if text.contains(char::is_control) {
        return Err(format!("{field}: must not contain line breaks or other control characters"));
    }
    if text.len() > limit {
        return Err(format!("{field}: {} bytes, more than the {limit} allowed", text.len()));
    }
    Ok(text.to_owned())
}

fn each_once(lists: [&Vec<Mailbox>; 3]) -> Vec<Address> {
    let mut all: Vec<Address> = Vec::new();
    for mailbox in lists.into_iter().flatten() {
        if !all.contains(&mailbox.email) {
            all.push(mailbox.email.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Allowed {
        Allowed {
            from: mailbox::read("Shop <shop@example.com>").unwrap(),
            other_from: vec!["*@shop.example.com".parse().unwrap()],
            reply_to: None,
            recipients: vec!["*@example.com".parse().unwrap()],
            limits: Limits { recipients: 3, subject_bytes: 20, body_bytes: 30, attachments: 1, attachment_bytes: 4 },
        }
    }

    fn compose(changes: &str) -> Result<Outgoing, String> {
        let mut payload = serde_json::json!({"to": "ann@example.com", "subject": "hi", "text": "hello"});
        let changes: serde_json::Value = serde_json::from_str(changes).unwrap();
        for (field, value) in changes.as_object().unwrap() {
            payload[field] = value.clone();
        }
        let payload: Payload = serde_json::from_value(payload).map_err(|error| error.to_string())?;
        allowed().compose(TaskId::from_uuid(uuid::Uuid::nil()), payload)
    }

    #[test]
    fn what_is_not_allowed_is_refused_with_its_field() {
        for (changes, reason) in [
            (r#"{"to": []}"#, "to: must name"),
            (r#"{"to": 1}"#, "expected an address or a list of addresses"),
            (r#"{"to": ["ann@example.com", "eve@evil.org"]}"#, "to[1]: this recipient"),
            (r#"{"cc": "eve@evil.org"}"#, "cc[0]: this recipient"),
            (r#"{"bcc": "eve@evil.org"}"#, "bcc[0]: this recipient"),
            (r#"{"cc": ["a@example.com", "b@example.com", "c@example.com"]}"#, "to, cc, bcc: 4 recipients"),
            (r#"{"to": "ann@example.com\r\nBcc: eve@evil.org"}"#, "to[0]: must not contain line breaks"),
            (r#"{"from": "eve@evil.org"}"#, "from: this sender"),
            (r#"{"from": "Bank <shop@example.com>"}"#, "from: this sender"),
            (r#"{"subject": "hi\nBcc: eve@evil.org"}"#, "subject: must not contain line breaks"),
            (r#"{"subject": "hi\u0085x"}"#, "subject: must not contain line breaks"),
            (r#"{"subject": "a subject longer than 20"}"#, "subject: 24 bytes"),
            (r#"{"subject": null}"#, "invalid type: null"),
            (r#"{"text": null}"#, "text, html: at least one"),
            (r#"{"html": "<p>0123456789012345678901234567890</p>"}"#, "text, html: 43 bytes"),
            (r#"{"body": "x"}"#, "unknown field `body`"),
            (r#"{"attachments": [{"filename": "a", "content_type": "a/b"}]}"#, "missing field `content`"),
            (r#"{"attachments": [{"filename": "a", "content_type": "a/b", "content": "!"}]}"#, "must be base64"),
            (
                r#"{"attachments": [{"filename": "a", "content_type": "a/b", "content": "MTIzNDU="}]}"#,
                "attachments: 5 bytes",
            ),
            (
                r#"{"attachments": [{"filename": "a/b", "content_type": "a/b", "content": ""}]}"#,
                "attachments[0].filename: must",
            ),
            (
                r#"{"attachments": [{"filename": "a\nb", "content_type": "a/b", "content": ""}]}"#,
                "attachments[0].filename: must",
            ),
            (
                r#"{"attachments": [{"filename": "a", "content_type": "pdf", "content": ""}]}"#,
                "attachments[0].content_type: must",
            ),
            (
                r#"{"attachments": [{"filename": "a", "content_type": "Multipart/mixed", "content": ""}]}"#,
                "attachments[0].content_type",
            ),
            (
                r#"{"attachments": [{"filename": "a", "content_type": "a/b\r\nX: y", "content": ""}]}"#,
                "attachments[0].content_type: must",
            ),
        ] {
            let refused = compose(changes).map(|_| ()).unwrap_err();
            assert!(refused.contains(reason), "{changes}: {refused}");
            assert!(!refused.contains("evil"), "{refused}");
        }
    }

    #[test]
    fn a_message_goes_to_each_once_and_hides_bcc() {
        let sent = compose(r#"{"cc": ["Ann <ann@example.com>"], "bcc": "bob@example.com"}"#).unwrap();
        let recipients: Vec<_> = sent.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(recipients, ["ann@example.com", "bob@example.com"]);
        let content = String::from_utf8(sent.content).unwrap();
        assert!(!content.contains("bob@") && !content.to_lowercase().contains("bcc"), "{content}");
        assert_eq!(sent.message_id, "<00000000-0000-0000-0000-000000000000@example.com>");
        assert!(content.contains(&format!("Message-ID: {}", sent.message_id)), "{content}");
    }

    #[test]
    fn an_allowed_sender_may_be_chosen() {
        let sent = compose(r#"{"from": "Ann <ann@shop.example.com>"}"#).unwrap();
        assert_eq!(sent.sender.to_string(), "ann@shop.example.com");
        assert!(compose(r#"{"from": "Shop <shop@example.com>"}"#).is_ok(), "the kind's own");
    }

    #[test]
    fn content_is_ascii_and_its_lines_end_as_they_must() {
        for text in [r"a\n.\nb\r\n.\r\nö\r.\r", r"a\n.\nb\r\n.\r\n\r.\r"] {
            let sent = compose(&format!(r#"{{"subject": "Grüße", "text": "{text}"}}"#)).unwrap();
            assert!(sent.content.is_ascii());
            let text = String::from_utf8(sent.content).unwrap();
            assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "no line break but CRLF: {text:?}");
        }
    }
}
