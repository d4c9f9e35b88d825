//! From what is stored of an installation to what an attempt needs.

use std::collections::BTreeMap;

use entity::ext_installation;

use crate::{
    domain::{
        signing::{SigningKeys, SigningSecret},
        timestamp::Timestamp,
    },
    router::{Shared, external::DeliveryTarget},
};

/// Opens the secrets and prepares what is the same for every attempt. The error is for an admin.
pub(super) fn prepare(
    installation: &ext_installation::Model,
    shared: &Shared,
) -> Result<DeliveryTarget, String> {
    let url = installation
        .service_base_url
        .as_deref()
        .ok_or("the extension has no service URL")?;
    let current = open_secret(&installation.signing_secret, shared)?;
    let previous = match (&installation.previous_secret, installation.previous_secret_until) {
        (Some(sealed), _) if previous_secret_until(installation, shared).is_some() => {
            Some(open_secret(sealed, shared)?)
        }
        _ => None,
    };
    let headers: BTreeMap<String, String> = match installation.headers.as_str() {
        "" => BTreeMap::new(),
        sealed => {
            let opened = (shared.settings.open_secret)(sealed)?;
            serde_json::from_str(&opened).map_err(|_| "the stored headers cannot be read")?
        }
    };
    let keys = SigningKeys::new(&current, previous.as_ref());
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    DeliveryTarget::new(url, keys, headers).map_err(|error| error.to_string())
}

/// The time at which a rotated secret stops to sign; none where none signs.
pub(super) fn previous_secret_until(
    installation: &ext_installation::Model,
    shared: &Shared,
) -> Option<Timestamp> {
    let until = installation
        .previous_secret
        .as_ref()
        .and(installation.previous_secret_until)?;
    Some(Timestamp::from_millis(until)).filter(|until| *until > shared.clock.now())
}

fn open_secret(sealed: &str, shared: &Shared) -> Result<SigningSecret, String> {
    let opened = (shared.settings.open_secret)(sealed)?;
    SigningSecret::parse(&opened).map_err(|_| "the stored signing secret cannot be read".to_owned())
}
