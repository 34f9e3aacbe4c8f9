//! Giving a message to the server, and what becomes of the task by the answer.

use std::{error::Error as _, time::Duration};

use lettre::transport::smtp::{
    Error,
    client::AsyncSmtpConnection,
    commands::{Data, Mail, Rcpt},
};
use serde::Serialize;
use tokio::time;

use super::{config::Mailer, connections::NoConnection, message::Outgoing, payload::Payload};
use crate::handler::{Context, TaskError};

/// A kept connection that does not answer within this is given up for a new one.
const KEPT_LIMIT: Duration = Duration::from_secs(5);
/// "Authentication required" and the like (RFC 4954): the operator has not configured it, or not rightly.
const AUTHENTICATION: [u16; 4] = [530, 534, 535, 538];
/// So much of a server's answer is kept, in characters.
const ANSWER_LIMIT: usize = 500;

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    message_id: String,
    accepted: Vec<String>,
    /// What the server said to it, which often has its own id of the message.
    answer: String,
}

impl Mailer {
    /// One attempt. Told to stop it does so, unless the message is being handed over: then the server may have it already, and
    /// its answer is waited for as long as the worker allows.
    pub(super) async fn send(&self, task: &Context) -> Result<Sent, TaskError> {
        let payload: Payload = task.parse()?;
        let message = self.allowed.compose(task.id(), payload);
        let message = message.map_err(|reason| TaskError::fatal(format!("payload: {reason}")))?;
        let sending = async {
            let prepared = task.stop().run_until_cancelled(self.prepare(&message)).await;
            let connection = prepared.unwrap_or_else(|| Err(TaskError::retry("told to stop")))?;
            self.hand_over(connection, message).await
        };
        let late = |_| TaskError::retry(format!("{self} did not answer within {:?}", self.timeout));
        time::timeout(self.timeout, sending).await.map_err(late)?
    }

    /// A connection on which sender and all recipients are accepted.
    async fn prepare(&self, message: &Outgoing) -> Result<AsyncSmtpConnection, TaskError> {
        let mail = || Mail::new(Some(message.sender.clone()), Vec::new());
        let mut connection = match self.kept(mail()).await {
            Some(connection) => connection,
            None => {
                let mut connection = self.server.connect().await.map_err(|error| self.not_connected(error))?;
                connection.command(mail()).await.map_err(|error| self.refused("the sender", &error))?;
                connection
            }
        };
        for recipient in &message.recipients {
            let rcpt = Rcpt::new(recipient.clone(), Vec::new());
            connection.command(rcpt).await.map_err(|error| self.refused(&format!("recipient {recipient}"), &error))?;
        }
        connection.command(Data).await.map_err(|error| self.refused("the message", &error))?;
        Ok(connection)
    }

    /// A connection kept from before that still takes a message. What is wrong with one shows at its first command.
    async fn kept(&self, mail: Mail) -> Option<AsyncSmtpConnection> {
        while let Some(mut connection) = self.idle.take() {
            if let Ok(Ok(_)) = time::timeout(KEPT_LIMIT, connection.command(&mail)).await {
                return Some(connection);
            }
        }
        None
    }

    async fn hand_over(&self, mut connection: AsyncSmtpConnection, message: Outgoing) -> Result<Sent, TaskError> {
        let answer = connection.message(&message.content).await;
        let answer = answer.map_err(|error| self.refused("the message", &error))?;
        self.idle.put(connection);
        let lines: Vec<_> = answer.message().collect();
        Ok(Sent {
            message_id: message.message_id,
            accepted: message.recipients.iter().map(ToString::to_string).collect(),
            answer: lines.join(" ").chars().take(ANSWER_LIMIT).collect(),
        })
    }

    /// Without a connection no message is judged: whatever the server said, the next attempt may find it otherwise.
    fn not_connected(&self, reason: NoConnection) -> TaskError {
        TaskError::retry(match reason {
            NoConnection::Failed(error) => format!("cannot use {self}: {}", with_causes(&error)),
            NoConnection::Login(error) => format!("{self} did not take username and password: {}", with_causes(&error)),
        })
    }

    /// The server's answer to a message: 5xx stays so, everything else may change.
    fn refused(&self, what: &str, error: &Error) -> TaskError {
        let code = error.status().map(u16::from);
        let text = format!("{self} did not accept {what}: {}", with_causes(error));
        match code {
            Some(code) if AUTHENTICATION.contains(&code) => TaskError::retry(text),
            Some(500..=599) => TaskError::fatal(text),
            _ => TaskError::retry(text),
        }
    }
}

/// The library's text with its causes. It never has the credentials: only what the server or the system said.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text.chars().take(ANSWER_LIMIT).collect()
}
