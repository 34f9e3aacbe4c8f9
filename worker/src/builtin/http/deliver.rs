//! One attempt to deliver a task.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, Uri,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT},
};
use queue::Json;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    answer,
    client::{Client, Unsent},
    headers::Headers,
    identity, redirect,
    signature::SigningKeys,
    target::{self, Target},
};
use crate::{
    Context, TaskError,
    handler::{Handler, HandlerFuture},
};

/// How the tasks of a kind are delivered.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) target: Target,
    pub(super) method: Method,
    pub(super) headers: Headers,
    pub(super) keys: SigningKeys,
    /// Of an attempt, redirects and the answer's body included.
    pub(super) timeout: Duration,
    /// Bytes of an answer's body that are kept.
    pub(super) response_limit: usize,
    /// How many are followed.
    pub(super) redirects: u8,
    /// To the target's own origin.
    pub(super) client: Client,
    /// To where a redirect leads, which nobody has checked.
    pub(super) elsewhere: Client,
}

/// The handler of a kind.
#[derive(Clone, Debug)]
pub(in crate::builtin) struct HttpHandler(pub(super) Arc<Delivery>);

impl Handler for HttpHandler {
    fn call(&self, task: Context) -> HandlerFuture {
        let delivery = self.0.clone();
        Box::pin(async move {
            let attempt = task.stop().run_until_cancelled(delivery.attempt(&task)).await;
            attempt.unwrap_or_else(|| Err(TaskError::retry("told to stop")))
        })
    }
}

impl Delivery {
    async fn attempt(&self, task: &Context) -> Result<Json, TaskError> {
        let (url, body) = self.target.of(task)?;
        let body = if self.method == Method::GET { Bytes::new() } else { Bytes::from(body) };
        let deadline = Instant::now() + self.timeout;
        let answer = timeout_at(deadline, self.follow(task, url, body)).await;
        let answer =
            answer.map_err(|_| TaskError::retry(format!("timed out: no answer within {:?}", self.timeout)))??;
        answer::judge(answer, self.response_limit, deadline, &self.headers).await
    }

    /// Sends the request, and again where its answers lead; the first that leads nowhere is the one that counts.
    async fn follow(&self, task: &Context, target: Url, body: Bytes) -> Result<Response<Incoming>, TaskError> {
        let mut url = target.clone();
        let mut left = self.redirects;
        loop {
            let is_own = url.origin() == target.origin();
            let client = if is_own { &self.client } else { &self.elsewhere };
            let sent = client.send(self.request(task, &url, body.clone(), is_own)?).await;
            let answer = sent.map_err(|error| match error {
                Unsent::Lost(reason) => TaskError::retry(reason),
                Unsent::OutOfReach(reason) => target::refuse(task, &reason.to_string()),
            })?;
            let next = redirect::next(answer.status(), answer.headers(), &self.method, &url);
            match next.filter(|next| left > 0 && self.target.permits(next)) {
                Some(next) => url = next,
                None => return Ok(answer),
            }
            left -= 1;
        }
    }

    /// Only the target itself gets what is meant for it: the operator's headers, and signatures.
    fn request(&self, task: &Context, url: &Url, body: Bytes, is_own: bool) -> Result<Request<Full<Bytes>>, TaskError> {
        let uri = Uri::try_from(url.as_str()).map_err(|error| TaskError::fatal(format!("payload: url: {error}")))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Taskrow/", env!("CARGO_PKG_VERSION"))));
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        identity::add_to(&mut headers, task);
        if is_own {
            self.headers.add_to(&mut headers);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            identity::sign(&mut headers, &self.keys, task, now.as_secs(), &body);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}
