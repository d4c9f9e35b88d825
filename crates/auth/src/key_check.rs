//! Telling whether a master key is the one that was used before, without keeping it.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::seal::derive;

pub const CHECK_VALUE_BYTES: usize = 32;

/// What is authenticated; the key alone makes the value.
const MESSAGE: &[u8] = b"pointsman master key check v1";

/// The check value of a master key: an HMAC under a key derived from it for nothing else. It tells nothing about the
/// master key nor about the keys that seal.
#[derive(Clone)]
pub struct KeyCheck(Hmac<Sha256>);

impl std::fmt::Debug for KeyCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyCheck(…)")
    }
}

impl KeyCheck {
    pub fn new(master_key: &[u8]) -> Self {
        let mut key = [0; 32];
        derive(master_key, MESSAGE, &mut key);
        let mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        Self(mac.chain_update(MESSAGE))
    }

    pub fn value(&self) -> [u8; CHECK_VALUE_BYTES] {
        self.0.clone().finalize().into_bytes().into()
    }

    /// Whether the value is that of this key; takes the same time whatever differs.
    pub fn is_value(&self, value: &[u8]) -> bool {
        self.0.clone().verify_slice(value).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_one_key_and_of_no_other() {
        let check = KeyCheck::new(&[7; 64]);
        let value = check.value();
        assert!(check.is_value(&value));
        assert_eq!(KeyCheck::new(&[7; 64]).value(), value);
        let mut other = [7; 64];
        other[63] ^= 1;
        assert!(!KeyCheck::new(&other).is_value(&value));
        assert!(!check.is_value(&value[..31]) && !check.is_value(&[]));
    }

    #[test]
    fn the_value_is_neither_the_key_nor_one_of_the_keys_that_protect_something() {
        let key: Vec<u8> = (0..64).collect();
        let value = KeyCheck::new(&key).value();
        let cookie = crate::seal::cookie_key(&key);
        let mut seal = [0; 32];
        derive(&key, b"pointsman seal v1", &mut seal);
        for secret in [&key[..], cookie.master(), &seal] {
            assert!(
                !secret
                    .windows(4)
                    .any(|part| value.windows(4).any(|other| part == other))
            );
        }
    }
}
