//! Clients with tokens.

use reqwest::{Method, RequestBuilder};
use service::tokens::{Scope, Secret, Token, TokenArgs, entry};

use super::{Answer, App};

/// A list of clients that grows, as an operator writes it.
#[derive(Default)]
pub(crate) struct Clients {
    pub(crate) text: String,
}

/// What sends requests with a secret, or without.
pub(crate) struct Client<'a> {
    pub(crate) app: &'a App,
    pub(crate) secret: Option<String>,
}

impl Clients {
    /// Adds a client; its secret.
    pub(crate) fn add(&mut self, name: &str, scopes: &[Scope], queues: Option<&[&str]>) -> Secret {
        let queues = queues.map(|queues| queues.iter().map(ToString::to_string).collect());
        let token = Token::new(name.to_owned(), scopes, queues).unwrap();
        let secret = Secret::random().unwrap();
        self.text.push_str(&entry(&token, &secret));
        secret
    }

    pub(crate) fn args(&self) -> TokenArgs {
        TokenArgs { api_tokens: Some(self.text.clone()), ..TokenArgs::default() }
    }
}

impl App {
    /// A client that sends this secret.
    pub(crate) fn with(&self, secret: &Secret) -> Client<'_> {
        Client { app: self, secret: Some(secret.reveal().to_owned()) }
    }
}

impl Client<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.app.request(method, path);
        match &self.secret {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::POST, path)).await
    }

    pub(crate) fn json(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", "application/json").body(body)
    }

    pub(crate) async fn post_json(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        Answer::of(self.json(path, body)).await
    }

    /// Submits a task and returns its id.
    pub(crate) async fn submit(&self, options: &str, payload: &str) -> String {
        let answer = self.post_json(&format!("/tasks{options}"), payload.to_owned()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// A line of /metrics that starts so.
    pub(crate) async fn series(&self, start: &str) -> Option<String> {
        let text = self.get("/metrics").await.text;
        text.lines().find(|line| line.starts_with(start)).map(str::to_owned)
    }
}
