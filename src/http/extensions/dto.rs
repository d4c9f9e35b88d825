//! How an extension is shown, and how its headers are kept.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::http::state::{AppState, Sealer};
use pointsman_domain::installation::Installation;
use pointsman_domain::{id::InstallationId, installation::DeliveryType, timestamp::Timestamp};

/// Header names, in lower case, to their values.
pub(super) type Headers = BTreeMap<String, String>;

/// An extension installed in the workspace, without its secrets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtensionDto {
    pub(super) id: InstallationId,
    key: String,
    name: String,
    delivery_type: DeliveryType,
    service_base_url: Option<String>,
    /// The names of the headers sent with every delivery; their values may be secrets and are never shown.
    header_names: Vec<String>,
    enabled: bool,
    /// Whether the code of an in-process extension is in this server. Its events wait where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<bool>,
    paused: bool,
    /// Deliveries in flight at the same time; always 1 while `ordered`.
    concurrency: Option<u32>,
    ordered: bool,
    /// Attempts per second.
    rate_limit: Option<u32>,
    installed_at: Timestamp,
    /// What cannot be opened with the server's master key, since it was sealed with another. Deliveries fail as
    /// `MISCONFIGURED` until it is set anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

/// The sealed values of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Unreadable {
    /// Mended by `rotate-secret`.
    SigningSecret,
    /// Mended by `PATCH` with headers.
    Headers,
}

impl ExtensionDto {
    fn of(installation: Installation, is_available: bool, sealer: &Sealer) -> Self {
        let headers = open_headers(&installation.headers, sealer);
        let secret = &installation.signing_secret;
        let mut unreadable = Vec::new();
        if !secret.is_empty() && sealer.open(secret).is_err() {
            unreadable.push(Unreadable::SigningSecret);
        }
        if headers.is_none() {
            unreadable.push(Unreadable::Headers);
        }
        let available = match installation.delivery_type {
            DeliveryType::ExternalService => None,
            DeliveryType::InProcess => Some(is_available),
        };
        Self {
            id: installation.id,
            key: installation.key,
            name: installation.name,
            delivery_type: installation.delivery_type,
            service_base_url: installation.service_base_url,
            header_names: headers.unwrap_or_default().into_keys().collect(),
            enabled: installation.enabled,
            available,
            paused: installation.paused,
            concurrency: if installation.ordered {
                Some(1)
            } else {
                installation.concurrency
            },
            ordered: installation.ordered,
            rate_limit: installation.rate_limit,
            installed_at: installation.installed_at,
            unreadable,
        }
    }
}

impl AppState {
    /// How the extension is shown. It cannot fail, so that a change that was written is never answered with an error.
    pub(super) fn extension_dto(&self, installation: Installation) -> ExtensionDto {
        let is_available = self.router.extensions().get(&installation.key).is_some();
        ExtensionDto::of(installation, is_available, &self.sealer)
    }
}

/// The headers as they are stored: an empty text where there are none, which needs no key.
pub(super) fn seal_headers(headers: &Headers, sealer: &Sealer) -> String {
    if headers.is_empty() {
        return String::new();
    }
    let text = serde_json::to_string(headers).expect("a map of texts is always JSON");
    sealer.seal(&text)
}

/// None where they cannot be opened.
fn open_headers(sealed: &str, sealer: &Sealer) -> Option<Headers> {
    if sealed.is_empty() {
        return Some(Headers::new());
    }
    let text = sealer.open(sealed).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_sealed_and_come_back() {
        let sealer = Sealer::new(&[7; 64]);
        let headers = Headers::from([("x-api-key".to_owned(), "secret".to_owned())]);
        let sealed = seal_headers(&headers, &sealer);
        assert!(!sealed.contains("secret"));
        assert_eq!(open_headers(&sealed, &sealer), Some(headers));
        let other = Sealer::new(&[8; 64]);
        assert_eq!(open_headers(&sealed, &other), None);
        let none = seal_headers(&Headers::new(), &sealer);
        assert_eq!(open_headers(&none, &other), Some(Headers::new()));
    }
}
