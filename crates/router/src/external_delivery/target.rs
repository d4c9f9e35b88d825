//! What an attempt needs, made from the stored installation.

use std::collections::BTreeMap;

use crate::shared::Shared;
use pointsman_domain::{
    installation::Installation,
    signing::{SigningKeys, SigningSecret},
    timestamp::Timestamp,
};
use pointsman_http_delivery::DeliveryTarget;

/// Opens the secrets and prepares the target of all attempts until a rotated secret stops signing, see
/// [`previous_secret_until`]. The error is for an admin.
pub(super) fn prepare(
    installation: &Installation,
    previous_until: Option<Timestamp>,
    shared: &Shared,
) -> Result<DeliveryTarget, String> {
    let url = installation
        .service_base_url
        .as_deref()
        .ok_or("the extension has no service URL")?;
    let current = open_secret(&installation.signing_secret, shared)
        .map_err(|error| format!("the signing secret {error}; make a new one: POST …/rotate-secret"))?;
    // A previous secret that cannot be opened is left out: the current one signs all the same.
    let previous = previous_until
        .and(installation.previous_secret.as_ref())
        .and_then(|previous| open_secret(&previous.sealed, shared).ok());
    let headers = open_headers(&installation.headers, shared)
        .map_err(|error| format!("the headers {error}; set them anew: PATCH with headers"))?;
    let keys = SigningKeys::new(&current, previous.as_ref());
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    DeliveryTarget::new(url, keys, headers).map_err(|error| error.to_string())
}

/// The engine's time at which a rotated secret stops signing; none where no rotated secret signs at `now`.
pub(super) fn previous_secret_until(installation: &Installation, now: Timestamp) -> Option<Timestamp> {
    let until = installation.previous_secret.as_ref()?.until;
    Some(until).filter(|until| *until > now)
}

fn open_secret(sealed: &str, shared: &Shared) -> Result<SigningSecret, String> {
    let opened = (shared.settings.open_secret)(sealed)?;
    SigningSecret::parse(&opened).map_err(|_| UNREADABLE.to_owned())
}

fn open_headers(sealed: &str, shared: &Shared) -> Result<BTreeMap<String, String>, String> {
    if sealed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let opened = (shared.settings.open_secret)(sealed)?;
    serde_json::from_str(&opened).map_err(|_| UNREADABLE.to_owned())
}

const UNREADABLE: &str = "cannot be read";
