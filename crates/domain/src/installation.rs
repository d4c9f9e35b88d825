//! Installations: what admins ask to be changed.

use super::{
    event_pattern::EventPattern,
    id::{InstallationId, SubscriptionId},
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
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExternalService => "EXTERNAL_SERVICE",
            Self::InProcess => "IN_PROCESS",
        }
    }
}

const MAX_KEY_BYTES: usize = 64;

/// Checks an extension's key: 1 to 64 bytes of `[a-z0-9_.-]`, of which the first is a letter or a digit.
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

/// An extension to be installed.
#[derive(Clone, Debug)]
pub struct NewInstallation {
    pub id: InstallationId,
    pub key: String,
    pub name: String,
    pub delivery_type: DeliveryType,
    pub service_base_url: Option<String>,
    /// Sealed; empty where nothing is signed.
    pub signing_secret: String,
    /// Sealed JSON object: header name to value; empty where there are none.
    pub headers: String,
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
    /// Sets what is given and leaves the rest. `enabled` closes or opens the spans, `paused` does not.
    Update(InstallationUpdate),
    /// The current secret goes on signing beside the new one (sealed) for 24 h.
    RotateSecret {
        sealed: String,
    },
    Subscribe {
        subscription_id: SubscriptionId,
        pattern: EventPattern,
    },
    Unsubscribe {
        subscription_id: SubscriptionId,
    },
    Uninstall,
}

/// See [`InstallationChange::Update`].
#[derive(Clone, Debug, Default)]
pub struct InstallationUpdate {
    pub name: Option<String>,
    pub service_base_url: Option<String>,
    pub enabled: Option<bool>,
    pub paused: Option<bool>,
    /// Sealed JSON object: header name to value.
    pub headers: Option<String>,
    pub concurrency: Option<u32>,
    pub ordered: Option<bool>,
    /// Deliveries per second; the inner `None` takes the limit away.
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
