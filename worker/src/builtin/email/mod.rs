//! The kind type `email`: sends a message for each task, by a mail server of the operator's choice.
//!
//! A message goes to all of its recipients or to none. Its Message-ID is made of the task's id, so that of an attempt whose answer was
//! lost and its repetition the receiver can tell that they are one message. Who sends and who may receive is the operator's say.

mod config;
mod connections;
mod delivery;
mod mailbox;
mod message;
mod payload;
mod rules;

pub(super) use self::config::EmailKind;
