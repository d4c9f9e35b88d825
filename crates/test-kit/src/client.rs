//! Requests to the server under test.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use actix_web::http::header::HeaderMap;
use awc::{Client, Connector, http::Method};
use bytes::Bytes;
use serde_json::Value;

use super::eventually::PATIENCE;

const MAX_SHOWN_CHARS: usize = 1000;
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Shorter than the server's, so that no request is sent on a connection that the server is closing.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Where the server is now. Callers share it, so that they find the server again after a restart.
#[derive(Clone)]
pub(crate) struct Target(Rc<RefCell<(SocketAddr, Client)>>);

impl Target {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(Rc::new(RefCell::new((address, client()))))
    }

    /// Also drops the connections to the former process.
    pub(crate) fn moved_to(&self, address: SocketAddr) {
        *self.0.borrow_mut() = (address, client());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.borrow().0
    }

    fn client(&self) -> Client {
        self.0.borrow().1.clone()
    }
}

fn client() -> Client {
    Client::builder()
        .connector(Connector::new().limit(0).conn_keep_alive(KEEP_ALIVE))
        .timeout(PATIENCE)
        .disable_redirects()
        .finish()
}

/// A client of the API, with a session or without.
#[derive(Clone)]
pub struct Caller {
    target: Target,
    /// `name=value`.
    cookie: Option<String>,
}

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What `Content-Length` says.
    pub length: Option<usize>,
}

impl Caller {
    pub(crate) fn anonymous(target: &Target) -> Self {
        Self {
            target: target.clone(),
            cookie: None,
        }
    }

    /// A caller of another server than the one under test.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::anonymous(&Target::new(address))
    }

    /// The same with this `Cookie` header.
    pub fn with_cookie(&self, cookie: impl Into<String>) -> Self {
        Self {
            target: self.target.clone(),
            cookie: Some(cookie.into()),
        }
    }

    /// `name=value`; empty without a session.
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().unwrap_or_default()
    }

    /// Signs in, and returns a caller with the session's cookie.
    pub async fn login(&self, email: &str, password: &str) -> Self {
        let body = serde_json::json!({"email": email, "password": password});
        let answer = self.post("/api/auth/login", &body).await.expect(200);
        let cookie = answer
            .header("set-cookie")
            .expect("a login sets the session's cookie");
        self.with_cookie(cookie.split(';').next().unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Bytes::new()).await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.send("HEAD", path, &[], Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.api("POST", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Bytes::new()).await
    }

    /// A request with a JSON body, or with none.
    pub async fn api(&self, method: &str, path: &str, json: Option<&Value>) -> Answer {
        match json {
            Some(json) => self.send(method, path, &JSON, json.to_string()).await,
            None => self.send(method, path, &[], Bytes::new()).await,
        }
    }

    /// A request as it is given. Panics where there is no answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let sent = self.try_send(method, path, headers, body.into()).await;
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Caller::send`], for requests that the server may leave unanswered.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let method = Method::from_bytes(method.as_bytes()).expect("tests send known methods");
        let url = format!("http://{}{path}", self.target.address());
        let mut request = self.target.client().request(method, url);
        for header in headers {
            request = request.append_header(*header);
        }
        if let Some(cookie) = &self.cookie {
            request = request.insert_header(("cookie", cookie.as_str()));
        }
        let mut response = request.send_body(body).await.map_err(|error| error.to_string())?;
        let body = response.body().limit(MAX_ANSWER_BYTES).await;
        let length = response.headers().get("content-length");
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            length,
            body: body.map_err(|error| error.to_string())?,
        })
    }
}

/// What a body of JSON is announced with.
pub(crate) const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

impl Answer {
    /// The answer itself, if its status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.shown());
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.shown()))
    }

    /// The `data` of a successful answer.
    #[track_caller]
    pub fn data(&self) -> Value {
        self.json()["data"].take()
    }

    /// The rows of a list.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        serde_json::from_value(self.data()).expect("a list answers with rows")
    }

    /// The `code` of the body; empty where it has none.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields that a `VALIDATION_FAILED` names.
    pub fn wrong_fields(&self) -> Vec<String> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .filter_map(|error| error["field"].as_str())
            .map(str::to_owned)
            .collect()
    }

    /// The beginning of the body, for messages.
    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.chars().take(MAX_SHOWN_CHARS).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The answer itself, if it is a problem body with this code that reveals no internals.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let shown = self.shown();
        assert_eq!((self.status, self.code().as_str()), (status, code), "{shown}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{shown}"
        );
        let body = self.json();
        assert_eq!(body["status"], status, "{shown}");
        for member in ["type", "title", "detail"] {
            assert!(
                body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member} in {shown}"
            );
        }
        self
    }
}
