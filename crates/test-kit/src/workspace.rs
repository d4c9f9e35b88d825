//! A workspace, and the extensions in it, as one caller sees them.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    client::{Answer, Caller, JSON},
    eventually::eventually,
    service::Service,
};

/// Publishes at once. Enough to fill a group commit; a connection for each event would time out waiting for
/// its turn on a busy machine.
const PUBLISHERS: usize = 32;

/// A workspace, and the caller who acts in it.
#[derive(Clone)]
pub struct Workspace {
    pub caller: Caller,
    pub id: String,
}

impl Workspace {
    /// The workspace that an empty database gets.
    pub async fn demo(admin: &Caller) -> Self {
        let workspaces = admin.get("/api/workspaces").await.expect(200).rows();
        let demo = workspaces.iter().find(|one| one["name"] == "demo");
        Self {
            caller: admin.clone(),
            id: text(demo.expect("an empty database gets it"), "id"),
        }
    }

    /// The same workspace for another caller.
    pub fn seen_by(&self, caller: &Caller) -> Self {
        Self {
            caller: caller.clone(),
            id: self.id.clone(),
        }
    }

    /// `rest` begins with a slash, or is empty.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/workspaces/{}{rest}", self.id)
    }

    pub async fn get(&self, rest: &str) -> Answer {
        self.caller.get(&self.path(rest)).await
    }

    pub async fn post(&self, rest: &str, body: &Value) -> Answer {
        self.caller.post(&self.path(rest), body).await
    }

    /// Publishes, and returns the event's id.
    pub async fn publish(&self, key: &str, payload: Value) -> String {
        let body = json!({"eventKey": key, "payload": payload}).to_string();
        event_id(&self.publish_raw(body).await.expect(200))
    }

    /// Publishes so many events, several at once, and returns their ids, sorted.
    pub async fn publish_many(&self, key: &str, count: usize) -> Vec<String> {
        let publishes = (0..count).map(|number| self.publish(key, json!({"number": number})));
        let publishes = stream::iter(publishes).buffer_unordered(PUBLISHERS);
        let mut ids: Vec<String> = publishes.collect().await;
        ids.sort();
        ids
    }

    /// Sends these bytes as JSON to be published.
    pub async fn publish_raw(&self, body: impl Into<Bytes>) -> Answer {
        self.caller
            .send("POST", &self.path("/events/publish"), &JSON, body)
            .await
    }

    /// The event with its deliveries.
    pub async fn event(&self, id: &str) -> Value {
        self.get(&format!("/events/{id}")).await.expect(200).data()
    }

    /// All events, newest first; a page of 200 at the most.
    pub async fn events(&self) -> Vec<Value> {
        self.get("/events?limit=200").await.expect(200).rows()
    }

    /// What became of the event for the extension: the delivery's entry.
    pub async fn delivery(&self, event: &str, extension: &Extension) -> Value {
        let shown = self.event(event).await;
        let deliveries = shown["deliveries"].as_array().cloned().unwrap_or_default();
        let ours = deliveries
            .into_iter()
            .find(|delivery| delivery["extensionId"] == extension.id);
        ours.unwrap_or(Value::Null)
    }

    /// What became of the event for the extension, in a word; `none` where it is not shown.
    pub async fn delivery_status(&self, event: &str, extension: &Extension) -> String {
        let delivery = self.delivery(event, extension).await;
        delivery["status"].as_str().unwrap_or("none").to_owned()
    }

    /// Waits until this has become of the event for the extension; returns the delivery's entry.
    pub async fn becomes(&self, event: &str, extension: &Extension, status: &str) -> Value {
        eventually(&format!("event {event} is {status}"), async || {
            let delivery = self.delivery(event, extension).await;
            if delivery["status"] == status {
                Ok(delivery)
            } else {
                Err(delivery)
            }
        })
        .await
    }

    /// Waits until the history has so many attempts of the event for the extension, and returns them. They are written
    /// after the delivery is settled.
    pub async fn attempts_become(&self, count: usize, event: &str, extension: &Extension) -> Vec<Value> {
        eventually(
            &format!("{count} attempts of event {event} in the history"),
            async || {
                let delivery = self.delivery(event, extension).await;
                match delivery["attempts"].as_array() {
                    Some(attempts) if attempts.len() == count => Ok(attempts.clone()),
                    _ => Err(delivery),
                }
            },
        )
        .await
    }

    /// The dead letters that the filter lets through, newest first.
    pub async fn dead_letters(&self, filter: &str) -> Vec<Value> {
        self.get(&format!("/events/dead-letters?limit=200&{filter}"))
            .await
            .expect(200)
            .rows()
    }

    pub async fn dead_letter(&self, id: &str) -> Value {
        self.get(&format!("/events/dead-letters/{id}"))
            .await
            .expect(200)
            .data()
    }

    /// Waits until there are so many dead letters that the filter lets through.
    pub async fn dead_letters_become(&self, count: usize, filter: &str) -> Vec<Value> {
        eventually(&format!("{count} dead letters"), async || {
            let letters = self.dead_letters(filter).await;
            if letters.len() == count {
                Ok(letters)
            } else {
                Err(format!("{letters:?}"))
            }
        })
        .await
    }

    /// Waits until the letter has this status, and returns it.
    pub async fn letter_becomes(&self, id: &str, status: &str) -> Value {
        eventually(&format!("dead letter {id} is {status}"), async || {
            let letter = self.dead_letter(id).await;
            if letter["status"] == status {
                Ok(letter)
            } else {
                Err(letter)
            }
        })
        .await
    }

    pub async fn replay(&self, letter: &str) -> Answer {
        self.post(&format!("/events/dead-letters/{letter}/replay"), &json!({}))
            .await
    }

    pub async fn discard(&self, letter: &str) -> Answer {
        self.post(&format!("/events/dead-letters/{letter}/discard"), &json!({}))
            .await
    }

    /// Will install an extension that delivers to the service.
    pub fn install_external(&self, key: &str, service: &Service) -> Installing {
        self.install_at(key, service.url())
    }

    /// Will install an extension that delivers to this base URL.
    pub fn install_at(&self, key: &str, url: impl Into<String>) -> Installing {
        Installing {
            workspace: self.clone(),
            key: key.to_owned(),
            url: url.into(),
        }
    }

    pub async fn put_member(&self, user: &str, role: &str) -> Answer {
        let path = self.path(&format!("/members/{user}"));
        self.caller.api("PUT", &path, Some(&json!({"role": role}))).await
    }
}

/// An extension about to be installed.
pub struct Installing {
    workspace: Workspace,
    key: String,
    url: String,
}

impl Installing {
    /// Installs it and subscribes it to each pattern.
    pub async fn subscribed_to(self, patterns: &[&str]) -> Extension {
        let body = json!({
            "key": self.key, "name": self.key, "deliveryType": "EXTERNAL_SERVICE", "serviceBaseUrl": self.url,
        });
        let installed = self.workspace.post("/extensions", &body).await.expect(201).data();
        let extension = Extension {
            workspace: self.workspace,
            id: text(&installed, "id"),
            secret: text(&installed, "signingSecret"),
        };
        for pattern in patterns {
            extension.subscribe(pattern).await;
        }
        extension
    }
}

/// An installed extension.
pub struct Extension {
    workspace: Workspace,
    pub id: String,
    /// As it was shown at the installation.
    pub secret: String,
}

impl Extension {
    /// `rest` begins with a slash, or is empty.
    pub fn path(&self, rest: &str) -> String {
        self.workspace.path(&format!("/extensions/{}{rest}", self.id))
    }

    /// Subscribes it, and returns the subscription's id.
    pub async fn subscribe(&self, pattern: &str) -> String {
        let body = json!({"eventKey": pattern});
        let answer = self
            .workspace
            .caller
            .post(&self.path("/subscriptions"), &body)
            .await;
        text(&answer.expect(201).data(), "id")
    }

    pub async fn unsubscribe(&self, subscription: &str) {
        let path = self.path(&format!("/subscriptions/{subscription}"));
        self.workspace.caller.delete(&path).await.expect(200);
    }

    /// Changes it by `PATCH`.
    pub async fn update(&self, change: Value) {
        let answer = self
            .workspace
            .caller
            .api("PATCH", &self.path(""), Some(&change))
            .await;
        answer.expect(200);
    }

    pub async fn disable(&self) {
        self.update(json!({"enabled": false})).await;
    }

    pub async fn enable(&self) {
        self.update(json!({"enabled": true})).await;
    }

    pub async fn pause(&self) {
        self.update(json!({"paused": true})).await;
    }

    pub async fn resume(&self) {
        self.update(json!({"paused": false})).await;
    }

    pub async fn uninstall(&self) {
        self.workspace.caller.delete(&self.path("")).await.expect(200);
    }

    /// As the API shows it.
    pub async fn shown(&self) -> Value {
        self.workspace.caller.get(&self.path("")).await.expect(200).data()
    }
}

/// A member of an object that must be a text.
#[track_caller]
pub(crate) fn text(object: &Value, member: &str) -> String {
    match object[member].as_str() {
        Some(text) => text.to_owned(),
        None => panic!("{member} in {object}"),
    }
}

/// The event that a publish has made.
#[track_caller]
pub(crate) fn event_id(published: &Answer) -> String {
    published
        .header("x-event-id")
        .expect("a publish answers with the event's id")
        .to_owned()
}
