//! `api token new`: makes a token for a client. It needs no API and no database; nothing is changed but the file that is asked for.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use service::{
    exit::Failure,
    tokens::{Scope, Secret, Token, entry},
};

/// Subcommands of `api token`.
#[derive(Subcommand, Clone, Debug)]
pub enum TokenCommand {
    /// Make a token: prints its secret, which nobody can find out again, and its entry for the list (API_TOKENS_FILE).
    New(NewTokenArgs),
}

/// Flags of `api token new`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Token")]
pub struct NewTokenArgs {
    /// Name of the client: 1 to 64 of A-Z a-z 0-9 . _ - : /. For a client that is there already, its name: both secrets hold until
    /// the older entry is removed.
    #[arg(id = "token-name", long = "name", value_name = "NAME")]
    pub name: String,
    /// What it may do, separated by commas: submit, read, work, admin (which holds all).
    #[arg(id = "token-scopes", long = "scopes", value_name = "SCOPES", value_delimiter = ',', required = true)]
    pub scopes: Vec<Scope>,
    /// The only queues it may see and use, separated by commas; all when absent.
    #[arg(id = "token-queues", long = "queues", value_name = "QUEUES", value_delimiter = ',')]
    pub queues: Option<Vec<String>>,
    /// New file for the secret, readable by its owner only. The output is then the entry alone.
    #[arg(id = "token-secret-file", long = "secret-file", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// Does what a subcommand says; the text is what it answers.
pub fn run(command: TokenCommand) -> Result<String, Failure> {
    let TokenCommand::New(args) = command;
    let token =
        Token::new(args.name, &args.scopes, args.queues).map_err(|error| Failure::usage(format!("--{error}")))?;
    let secret = Secret::random()?;
    let entry = entry(&token, &secret);
    match args.secret_file {
        Some(file) => {
            write(&file, &secret)
                .map_err(|error| Failure::usage(format!("--secret-file {}: {error}", file.display())))?;
            Ok(entry)
        }
        None => Ok(format!(
            "# The secret of {}, shown this once. The client sends it as `Authorization: Bearer <secret>`.\n{}\n\n\
             # Its entry for the list of tokens, which holds no secret:\n{entry}",
            token.name,
            secret.reveal()
        )),
    }
}

/// Never over a file that is there: it may hold the only copy of another secret.
fn write(file: &Path, secret: &Secret) -> std::io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(opened, "{}", secret.reveal())
}
