//! Random bytes for secrets.
//!
//! They come straight from the operating system and not through [`struct@pointsman_clock::Clock`]: a replaced clock
//! must not make keys, nonces and passwords predictable.

use rand::{TryRngCore, rngs::OsRng};

/// The characters of [`text`]: 64, so that every one is equally likely.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `N` unpredictable bytes.
///
/// # Panics
/// When the operating system has no randomness to give: nothing secret can be made then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

/// `N` unpredictable characters of 6 bits each, safe in URLs, cookies and shells.
pub fn text<const N: usize>() -> String {
    bytes::<N>()
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 63)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_length_asked_for_and_differ() {
        let (one, other) = (text::<24>(), text::<24>());
        assert_eq!(one.len(), 24);
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_ne!(one, other);
    }
}
