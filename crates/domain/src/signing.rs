//! Signatures of deliveries, by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.

use std::{fmt, str::FromStr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{id::EventId, timestamp::Timestamp};

const SECRET_PREFIX: &str = "whsec_";
const VERSION_PREFIX: &str = "v1,";

/// How far the clocks of sender and receiver may differ, in either direction.
pub const TIMESTAMP_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A signing secret of 24 to 64 bytes, written `whsec_<base64>`. Neither `Debug` nor an error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Box<[u8]>);

/// Why a text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningSecretError {
    #[error("must start with {SECRET_PREFIX}")]
    Prefix,
    #[error("must be base64 after {SECRET_PREFIX}")]
    Base64,
    #[error("must be 24 to 64 bytes long when decoded")]
    Length,
}

impl SigningSecret {
    /// A secret made of random bytes, which the caller draws from a source fit for keys.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(Box::new(bytes))
    }

    /// # Errors
    /// When the text is not `whsec_` and the base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, SigningSecretError> {
        let encoded = text
            .strip_prefix(SECRET_PREFIX)
            .ok_or(SigningSecretError::Prefix)?;
        let bytes = BASE64.decode(encoded).map_err(|_| SigningSecretError::Base64)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SigningSecretError::Length);
        }
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// The secret as `whsec_<base64>`, to be stored sealed or shown once.
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", BASE64.encode(&self.0))
    }
}

impl FromStr for SigningSecret {
    type Err = SigningSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// The keys of one installation, prepared once: signing a message does not hash the key again.
#[derive(Clone)]
pub struct SigningKeys {
    current: Hmac<Sha256>,
    previous: Option<Hmac<Sha256>>,
}

/// The three headers that carry a signature, as received.
#[derive(Clone, Copy, Debug)]
pub struct SignatureHeaders<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
}

/// Why a message is not taken for genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("webhook-timestamp is not a number of seconds")]
    MalformedTimestamp,
    #[error("webhook-timestamp is more than 5 minutes away from now")]
    TimestampOutOfTolerance,
    #[error("no signature matches")]
    Mismatch,
}

impl SigningKeys {
    /// `previous` signs beside `current` while a rotated secret is still honoured.
    pub fn new(current: &SigningSecret, previous: Option<&SigningSecret>) -> Self {
        Self {
            current: prepare(current),
            previous: previous.map(prepare),
        }
    }

    /// The value of `webhook-signature`: `v1,<base64>`, and a second one after a space while there is a
    /// previous secret. `timestamp_seconds` is what `webhook-timestamp` says.
    pub fn sign(&self, id: EventId, timestamp_seconds: i64, body: &[u8]) -> String {
        let mut id_buffer = uuid::Uuid::encode_buffer();
        let id = id.uuid().as_hyphenated().encode_lower(&mut id_buffer);
        let timestamp = timestamp_seconds.to_string();
        let mut signature = String::with_capacity(96);
        for (index, key) in self.keys().enumerate() {
            if index > 0 {
                signature.push(' ');
            }
            signature.push_str(VERSION_PREFIX);
            let tag = message(key, id, &timestamp, body).finalize().into_bytes();
            BASE64.encode_string(tag, &mut signature);
        }
        signature
    }

    /// Checks a received message in constant time: any of its signatures may match any of the keys.
    ///
    /// # Errors
    /// When the timestamp is more than [`TIMESTAMP_TOLERANCE`] away from `now`, or nothing matches.
    pub fn verify(
        &self,
        headers: SignatureHeaders<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let sent: i64 = headers
            .timestamp
            .parse()
            .map_err(|_| SignatureError::MalformedTimestamp)?;
        if now.seconds().abs_diff(sent) > TIMESTAMP_TOLERANCE.as_secs() {
            return Err(SignatureError::TimestampOutOfTolerance);
        }
        let genuine = self.keys().any(|key| {
            let expected = message(key, headers.id, headers.timestamp, body);
            tags(headers.signature).any(|tag| expected.clone().verify_slice(&tag).is_ok())
        });
        if genuine {
            Ok(())
        } else {
            Err(SignatureError::Mismatch)
        }
    }

    fn keys(&self) -> impl Iterator<Item = &Hmac<Sha256>> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.keys().count();
        write!(f, "SigningKeys({count})")
    }
}

fn prepare(secret: &SigningSecret) -> Hmac<Sha256> {
    Hmac::new_from_slice(&secret.0).expect("HMAC takes keys of any length")
}

/// The HMAC state after the whole message.
fn message(key: &Hmac<Sha256>, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

/// The decoded `v1` signatures of a header; others are for other receivers.
fn tags(signature: &str) -> impl Iterator<Item = Vec<u8>> {
    signature
        .split(' ')
        .filter_map(|one| one.strip_prefix(VERSION_PREFIX))
        .filter_map(|encoded| BASE64.decode(encoded).ok())
}

#[cfg(test)]
mod tests;
