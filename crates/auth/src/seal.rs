//! Sealing: values that the database keeps but must not show, such as signing secrets.

use actix_web::cookie;
use aes_gcm::{
    Aes256Gcm, Key, Nonce,
    aead::{Aead, KeyInit},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;

use super::entropy;

/// What a sealed text begins with; a later way of sealing gets another.
const PREFIX: &str = "v1.";
const NONCE_BYTES: usize = 12;

/// Seals texts with AES-256-GCM under a key derived from the server's master key: what comes back from
/// [`Sealer::open`] is what was given to [`Sealer::seal`], or an error. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    cipher: Aes256Gcm,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

/// Why a sealed text could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("this is no sealed text")]
    NotSealed,
    #[error("the text was sealed with another master key, or has been changed since")]
    WrongKey,
}

impl Sealer {
    pub fn new(master_key: &[u8]) -> Self {
        let mut key = [0; 32];
        derive(master_key, b"pointsman seal v1", &mut key);
        Self {
            cipher: Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(&key)),
        }
    }

    /// Two sealings of one text differ: each takes a fresh random nonce.
    pub fn seal(&self, text: &str) -> String {
        let nonce = entropy::bytes::<NONCE_BYTES>();
        let sealed = self
            .cipher
            .encrypt(Nonce::from_slice(&nonce), text.as_bytes())
            .expect("AES-GCM seals anything shorter than 64 GiB");
        let bytes = [nonce.as_slice(), &sealed].concat();
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// # Errors
    /// When the text is not one of ours, was changed, or was sealed under another master key.
    pub fn open(&self, sealed: &str) -> Result<String, SealError> {
        let bytes = sealed
            .strip_prefix(PREFIX)
            .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or(SealError::NotSealed)?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_BYTES).ok_or(SealError::NotSealed)?;
        let text = self
            .cipher
            .decrypt(Nonce::from_slice(nonce), ciphertext)
            .map_err(|_| SealError::WrongKey)?;
        String::from_utf8(text).map_err(|_| SealError::NotSealed)
    }
}

/// The key that encrypts session cookies, derived from the master key apart from that of [`Sealer`].
pub fn cookie_key(master_key: &[u8]) -> cookie::Key {
    let mut key = [0; 64];
    derive(master_key, b"pointsman session cookie v1", &mut key);
    cookie::Key::from(&key)
}

pub(super) fn derive(master_key: &[u8], purpose: &[u8], key: &mut [u8]) {
    Hkdf::<Sha256>::new(None, master_key)
        .expand(purpose, key)
        .expect("HKDF-SHA256 gives up to 8160 bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_again() {
        let sealer = Sealer::new(&[7; 64]);
        let sealed = sealer.seal("whsec_äöü");
        assert!(!sealed.contains("whsec"));
        assert_eq!(sealer.open(&sealed).as_deref(), Ok("whsec_äöü"));
    }

    #[test]
    fn the_same_text_never_seals_the_same() {
        let sealer = Sealer::new(&[7; 64]);
        assert_ne!(sealer.seal("secret"), sealer.seal("secret"));
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let sealed = Sealer::new(&[7; 64]).seal("secret");
        assert_eq!(Sealer::new(&[8; 64]).open(&sealed), Err(SealError::WrongKey));
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let sealer = Sealer::new(&[7; 64]);
        let sealed = sealer.seal("secret");
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&sealed[3..]).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let changed = format!("v1.{}", BASE64_URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(sealer.open(&changed), Err(SealError::WrongKey), "byte {at}");
            bytes[at] ^= 1;
        }
    }

    #[test]
    fn what_was_never_sealed_is_told_apart() {
        let sealer = Sealer::new(&[7; 64]);
        for text in ["", "v1.", "v1.!!", "v1.AAAA", "secret"] {
            assert_eq!(sealer.open(text), Err(SealError::NotSealed), "{text:?}");
        }
    }

    #[test]
    fn cookies_and_seals_have_keys_of_their_own() {
        let key = cookie_key(&[7; 64]);
        assert_eq!(key.master(), cookie_key(&[7; 64]).master());
        assert_ne!(key.master(), cookie_key(&[8; 64]).master());
    }
}
