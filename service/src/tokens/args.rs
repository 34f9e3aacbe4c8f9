//! Where the list of tokens is.

use std::path::PathBuf;

use clap::Args;

use super::{Tokens, list::List, watch};
use crate::exit::Failure;

/// Where the list of tokens is. Neither: there is none, and everybody may do everything.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Access")]
pub struct TokenArgs {
    /// File (TOML) of the clients that may use the API and read metrics; docs/access.md says what it holds. It is followed: changes
    /// hold within seconds.
    #[arg(long, value_name = "FILE", env = "API_TOKENS_FILE")]
    pub api_tokens_file: Option<PathBuf>,
    /// The list itself, instead of a file. Holds no secret, only hashes.
    #[arg(long, value_name = "TOML", env = "API_TOKENS", hide_env_values = true, conflicts_with = "api_tokens_file")]
    pub api_tokens: Option<String>,
}

impl TokenArgs {
    /// Reads the list; none: everybody may do everything. A list without a token is a mistake: it would keep everybody out.
    pub fn tokens(self) -> Result<Option<Tokens>, Failure> {
        if let Some(file) = self.api_tokens_file {
            let bad = |reason| Failure::usage(format!("API_TOKENS_FILE {}: {reason}", file.display()));
            let list = watch::read(&file).and_then(|text| watch::parse(&text)).map_err(bad)?;
            return Ok(Some(Tokens::new(list, Some(file))));
        }
        let Some(text) = self.api_tokens else { return Ok(None) };
        let list = List::parse(&text).map_err(|error| Failure::usage(format!("API_TOKENS: {error}")))?;
        Ok(Some(Tokens::new(list, None)))
    }
}
