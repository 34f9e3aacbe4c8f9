//! API tokens: who may do what, by a list that the operator keeps. Without a list everybody may do everything.
//!
//! A client sends `Authorization: Bearer taskrow_..`. The list holds the SHA-256 of each secret, never the secret: who reads the list, a
//! backup of it or the memory of a process can use none of them. A slow hash, as passwords need, would protect nothing more: a secret has
//! 256 random bits, which nobody finds by trying, and every request would pay for it. So that this stays true, only secrets of the
//! form that [`Secret::random`] makes are looked at.
//!
//! - `secret`: what a client sends; `scope`: what it may be for; `token`: one entry of the list
//! - `list`: the list, as text and as what is compared, always all of it and each in constant time
//! - `bearer`: the token of a request, or why there is none
//! - [`Tokens`]: the list of this moment; `watch`: follows the file
//! - `args`: where the list is
//! - [`guard()`]: for processes that have metrics and no API
//!
//! Not here: what each operation needs (`api/src/access`).

mod args;
mod bearer;
mod guard;
mod list;
mod scope;
mod secret;
mod token;
mod watch;

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::HeaderMap;

use self::list::List;
pub use self::{
    args::TokenArgs,
    bearer::{Refusal, challenge},
    guard::guard,
    scope::{Scope, Scopes},
    secret::Secret,
    token::{BadEntry, Token, entry},
};

/// The tokens that hold at this moment. Clones share them.
#[derive(Clone, Debug)]
pub struct Tokens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    list: RwLock<Arc<List>>,
    /// None: the list never changes.
    file: Option<PathBuf>,
    is_stale: AtomicBool,
}

impl Tokens {
    fn new(list: List, file: Option<PathBuf>) -> Self {
        let (list, is_stale) = (RwLock::new(Arc::new(list)), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { list, file, is_stale }) }
    }

    /// Whose request it is.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Token>, Refusal> {
        let secret = bearer::secret(headers)?;
        self.list().find(&secret).ok_or(Refusal::Unknown)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list().len()
    }

    /// Whether the file is gone or bad, so that older tokens still hold.
    pub fn is_stale(&self) -> bool {
        self.shared.is_stale.load(Ordering::Relaxed)
    }

    fn list(&self) -> Arc<List> {
        Arc::clone(&self.shared.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, list: List) {
        *self.shared.list.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
    }
}
