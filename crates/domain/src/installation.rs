//! Installations, and the changes of them that admins request.

#![warn(missing_docs)]

use super::{
    event_pattern::EventPattern,
    id::{InstallationId, SubscriptionId, WorkspaceId},
    seq::Seq,
    span::Span,
    timestamp::Timestamp,
};

/// How events reach the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryType {
    /// HTTP `POST` to `{serviceBaseUrl}/events`.
    ExternalService,
    /// A typed handler in this process.
    InProcess,
}

impl DeliveryType {
    /// As the API and the database write it, such as `IN_PROCESS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExternalService => "EXTERNAL_SERVICE",
            Self::InProcess => "IN_PROCESS",
        }
    }
}

/// An extension installed in a workspace. Secrets and headers are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// By which the API and the router name it; the same until it is uninstalled.
    pub id: InstallationId,
    /// The workspace whose events it takes.
    pub workspace_id: WorkspaceId,
    /// Unique among the installed extensions of the workspace.
    pub key: String,
    /// For people: 1 to 120 characters without control characters.
    pub name: String,
    /// Over HTTP or in this process; it never changes.
    pub delivery_type: DeliveryType,
    /// None for an extension of this process.
    pub service_base_url: Option<String>,
    /// Sealed; empty where nothing is signed.
    pub signing_secret: String,
    /// The secret before the latest rotation, which signs beside the current one for 24 h; sealed as well.
    pub previous_secret: Option<PreviousSecret>,
    /// Sealed JSON object: header name to value; empty where there are none.
    pub headers: String,
    /// Where it is `false`, events that are published meanwhile are not due to it, and what was due before waits.
    pub enabled: bool,
    /// Where it is `true`, deliveries wait. Events go on being due to it.
    pub paused: bool,
    /// The most attempts in flight; `None` where the server's own limit holds.
    pub concurrency: Option<u32>,
    /// One delivery at a time, in the order of the log.
    pub ordered: bool,
    /// Attempts per second.
    pub rate_limit: Option<u32>,
    /// The code of an in-process extension is in the server that started last.
    pub available: bool,
    /// Since when it has been paused, disabled or unavailable.
    pub held_since: Option<Timestamp>,
    /// Grows with every change: the newer of two copies has the larger number.
    pub revision: i64,
    /// When it was installed.
    pub installed_at: Timestamp,
    /// The head of the workspace's log when it was installed.
    pub installed_seq: Seq,
    /// When it was uninstalled; `None` while it is installed.
    pub uninstalled_at: Option<Timestamp>,
    /// The head of the workspace's log when it was uninstalled: later events are not due to it.
    pub uninstalled_seq: Option<Seq>,
    /// Uninstalled, and everything that was due is settled.
    pub closed: bool,
}

/// A rotated secret, which signs beside its successor for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret, sealed with the master key.
    pub sealed: String,
    /// By the engine's time.
    pub until: Timestamp,
}

impl Installation {
    /// Whether its deliveries wait, because it is paused or disabled, or because this process lacks the code of its
    /// extension.
    pub const fn is_held(&self) -> bool {
        self.paused || !self.enabled || !self.available
    }
}

/// An installation with everything that decides which events are due to it and how they are delivered.
#[derive(Clone, Debug)]
pub struct InstallationView {
    /// The installation as of its revision.
    pub installation: Installation,
    /// The spans that may still matter: open, or closed after the cursor.
    pub spans: Vec<Span>,
    /// The cursor: up to here everything is delivered, parked or given up.
    pub settled: Seq,
    /// Retries wait for it.
    pub has_retries: bool,
}

impl InstallationView {
    /// See [`Installation::id`].
    pub const fn id(&self) -> InstallationId {
        self.installation.id
    }

    /// See [`Installation::workspace_id`].
    pub const fn workspace_id(&self) -> WorkspaceId {
        self.installation.workspace_id
    }

    /// Whether its deliveries are calls of handlers in this process.
    pub fn is_in_process(&self) -> bool {
        self.installation.delivery_type == DeliveryType::InProcess
    }

    /// See [`Installation::is_held`].
    pub const fn is_held(&self) -> bool {
        self.installation.is_held()
    }
}

const MAX_KEY_BYTES: usize = 64;

/// Checks an extension's key: 1 to 64 bytes of `[a-z0-9_.-]`. The first is a letter or a digit.
///
/// # Errors
/// What is wrong with it.
pub fn check_key(text: &str) -> Result<(), &'static str> {
    let first = text.bytes().next().ok_or("must not be empty")?;
    if text.len() > MAX_KEY_BYTES {
        return Err("must be at most 64 bytes long");
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !plain(first) || !text.bytes().all(|b| plain(b) || b"_.-".contains(&b)) {
        return Err("must be lower-case letters, digits, _, . and -, and begin with a letter or a digit");
    }
    Ok(())
}

/// An extension to be installed. The HTTP API checks the rules that the fields name, the router does not. Hosts use
/// [`NewInstallation::in_process`].
#[derive(Clone, Debug)]
pub struct NewInstallation {
    /// The id that it gets: a new UUID v7, as `Clock::new_uuid` gives it.
    pub id: InstallationId,
    /// Of the extension: 1 to 64 bytes of `[a-z0-9_.-]`, the first a letter or a digit. An in-process extension has the
    /// key of its code. No other installation in the workspace may have it.
    pub key: String,
    /// For people: 1 to 120 characters without control characters.
    pub name: String,
    /// Over HTTP or in this process.
    pub delivery_type: DeliveryType,
    /// Where the service is: an absolute `http` or `https` URL, at most 2,048 bytes, without credentials, query and
    /// fragment. `None` for an extension of this process.
    pub service_base_url: Option<String>,
    /// Sealed; empty where nothing is signed.
    pub signing_secret: String,
    /// Sealed JSON object: header name to value; empty where there are none.
    pub headers: String,
    /// Whether events are due to it from the start.
    pub enabled: bool,
    /// What it subscribes to from the start.
    pub subscriptions: Vec<(SubscriptionId, EventPattern)>,
}

impl NewInstallation {
    /// An enabled one of an extension of this process, subscribed to `patterns`.
    pub fn in_process(
        key: &str,
        name: &str,
        patterns: impl IntoIterator<Item = EventPattern>,
        new_uuid: impl Fn() -> uuid::Uuid,
    ) -> Self {
        Self {
            id: InstallationId::new(new_uuid()),
            key: key.to_owned(),
            name: name.to_owned(),
            delivery_type: DeliveryType::InProcess,
            service_base_url: None,
            signing_secret: String::new(),
            headers: String::new(),
            enabled: true,
            subscriptions: patterns
                .into_iter()
                .map(|pattern| (SubscriptionId::new(new_uuid()), pattern))
                .collect(),
        }
    }
}

/// A change of one installation. Each has its place in the workspace's commit order.
#[derive(Clone, Debug)]
pub enum InstallationChange {
    /// Sets the given fields and leaves the others. `enabled` closes or opens the spans, `paused` does not.
    Update(InstallationUpdate),
    /// The current secret goes on signing beside the new one (sealed) for 24 h.
    RotateSecret {
        /// The new secret, sealed with the master key.
        sealed: String,
    },
    /// Events that match are due from the next one on.
    Subscribe {
        /// The id that the subscription gets: a new UUID v7.
        subscription_id: SubscriptionId,
        /// Which events it takes.
        pattern: EventPattern,
    },
    /// Events that are published from now on are not due; what is due already is delivered.
    Unsubscribe {
        /// The subscription that ends.
        subscription_id: SubscriptionId,
    },
    /// Takes the extension from the workspace. What is due and not delivered becomes dead letters.
    Uninstall,
}

/// What an admin sets of an installation; `None` leaves a field as it is. The HTTP API checks the rules that the fields
/// name, the router does not. See [`InstallationChange::Update`].
#[derive(Clone, Debug, Default)]
pub struct InstallationUpdate {
    /// For people: 1 to 120 characters without control characters.
    pub name: Option<String>,
    /// Where the service is: an absolute `http` or `https` URL, at most 2,048 bytes, without credentials, query and
    /// fragment.
    pub service_base_url: Option<String>,
    /// See [`Installation::enabled`].
    pub enabled: Option<bool>,
    /// See [`Installation::paused`].
    pub paused: Option<bool>,
    /// Sealed JSON object: header name to value.
    pub headers: Option<String>,
    /// The most deliveries in flight, 1 to 256, instead of `delivery.concurrency`.
    pub concurrency: Option<u32>,
    /// Whether deliveries go one at a time, in the order of the log.
    pub ordered: Option<bool>,
    /// Attempts per second; the inner `None` removes the limit.
    pub rate_limit: Option<Option<u32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_plain_and_lower_case() {
        for good in ["crm", "0", "my-ext_2.beta", &"a".repeat(64)] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "CRM",
            "-crm",
            ".crm",
            "_crm",
            "a b",
            "ä",
            "a/b",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
