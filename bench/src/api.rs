//! The admin API of a server, as far as the scenarios need it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::http::{Message, status};

pub(crate) const ADMIN: &str = "admin@pointsman.local";

/// An admin who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    address: SocketAddr,
    pub(crate) cookie: String,
}

/// An installation in a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    workspace: String,
    pub(crate) id: String,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Api {
    pub(crate) async fn sign_in(address: SocketAddr, password: &str) -> Result<Self> {
        let anonymous = Self {
            address,
            cookie: String::new(),
        };
        let body = json!({"email": ADMIN, "password": password});
        let answer = anonymous.send("POST", "/api/auth/login", Some(&body)).await?;
        let cookie = answer.head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("set-cookie")
                .then(|| value.trim().split(';').next().unwrap_or_default().to_owned())
        });
        Ok(Self {
            address,
            cookie: cookie.with_context(|| format!("signing in was answered with {}", answer.status))?,
        })
    }

    /// The same session after the server was started again, which changes its address.
    pub(crate) fn moved_to(&self, address: SocketAddr) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// Whether the server accepts and delivers events.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.send("GET", "/readyz", None).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Creates a workspace, and returns its id.
    pub(crate) async fn workspace(&self, name: &str) -> Result<String> {
        let made = self
            .call("POST", "/api/workspaces", Some(&json!({"name": name})))
            .await?;
        text(&made, "id")
    }

    /// Installs an external service, and subscribes it to the events of the bench.
    pub(crate) async fn install(&self, workspace: &str, key: &str, url: &str) -> Result<Installed> {
        let body =
            json!({"key": key, "name": key, "deliveryType": "EXTERNAL_SERVICE", "serviceBaseUrl": url});
        let path = format!("/api/workspaces/{workspace}/extensions");
        let installed = Installed {
            workspace: workspace.to_owned(),
            id: text(&self.call("POST", &path, Some(&body)).await?, "id")?,
        };
        let subscriptions = format!("{}/subscriptions", installed.path());
        self.call("POST", &subscriptions, Some(&json!({"eventKey": "crm.**"})))
            .await?;
        Ok(installed)
    }

    /// Installs an extension that runs in the process of the server.
    pub(crate) async fn install_in_process(&self, workspace: &str, key: &str) -> Result<Installed> {
        let path = format!("/api/workspaces/{workspace}/extensions");
        let body = json!({"key": key, "deliveryType": "IN_PROCESS"});
        Ok(Installed {
            workspace: workspace.to_owned(),
            id: text(&self.call("POST", &path, Some(&body)).await?, "id")?,
        })
    }

    pub(crate) async fn change(&self, installed: &Installed, change: &Value) -> Result<()> {
        self.call("PATCH", &installed.path(), Some(change)).await?;
        Ok(())
    }

    /// Closes the breaker of an installation, so that its deliveries go on at once.
    pub(crate) async fn reset(&self, installed: &Installed) -> Result<()> {
        self.call("POST", &format!("{}/reset", installed.path()), None)
            .await?;
        Ok(())
    }

    /// Returns the `data` of the response.
    ///
    /// # Errors
    /// Every status other than 2xx is one.
    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.send(method, path, body).await?;
        if !(200..300).contains(&answer.status) {
            let shown = String::from_utf8_lossy(&answer.body);
            bail!("{method} {path} was answered with {}: {shown}", answer.status);
        }
        let mut body: Value = serde_json::from_slice(&answer.body)?;
        Ok(body["data"].take())
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            self.cookie,
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::new();
        let message = loop {
            if let Some(message) = Message::at_start_of(&buffer) {
                break message;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                bail!("{method} {path} was not answered: the server has closed the connection");
            }
        };
        Ok(Answer {
            status: status(&buffer),
            head: String::from_utf8_lossy(&buffer[..message.head]).into_owned(),
            body: message.body(&buffer).to_vec(),
        })
    }
}

impl Installed {
    fn path(&self) -> String {
        format!("/api/workspaces/{}/extensions/{}", self.workspace, self.id)
    }
}

fn text(object: &Value, member: &str) -> Result<String> {
    let text = object[member].as_str();
    Ok(text
        .with_context(|| format!("no {member} in {object}"))?
        .to_owned())
}
