//! Passwords: argon2id, off the async threads, with a bound on how many are hashed at once.

use std::{num::NonZero, sync::Arc};

use actix_web::web;
use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{entropy, memory};

/// The shortest password, in characters.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// The longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 256;

/// How many may wait for each that is being hashed; further ones are refused.
const WAITING_PER_CORE: usize = 16;

/// The hash to compare with when there is no such user, so that the answer takes the same time. It has the parameters
/// of [`Argon2::default`], and no password matches it.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cG9pbnRzbWFuLW5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password was not hashed or compared.
#[warn(missing_docs)]
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Holds the rule that it breaks, see [`check`].
    #[error("{0}")]
    Unacceptable(&'static str),
    /// 16 passwords per core wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// It could not be hashed. Holds the reason.
    #[error("hashing: {0}")]
    Failed(String),
}

/// Hashes and verifies on blocking threads. Each call takes 19 MiB and some ten milliseconds of a core: one per core
/// runs, 16 per core wait, and the rest are [`PasswordError::Busy`].
#[derive(Clone, Debug)]
pub struct Passwords {
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// What a user may choose as a password.
///
/// # Errors
/// The rule that the text breaks.
pub fn check(password: &str) -> Result<(), &'static str> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err("must be at most 256 bytes long");
    }
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err("must be at least 8 characters long");
    }
    Ok(())
}

impl Passwords {
    pub fn new() -> Self {
        Self {
            admitted: Arc::new(Semaphore::new(cores() * (1 + WAITING_PER_CORE))),
            running: Arc::new(Semaphore::new(cores())),
        }
    }

    /// A PHC string with a fresh salt.
    ///
    /// # Errors
    /// When [`check`] refuses the password, or too many are waiting.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        check(&password).map_err(PasswordError::Unacceptable)?;
        self.run(move || hash(&password)).await?
    }

    /// Whether the password is the one that was hashed. Without a hash, because there is no such user, it
    /// takes as long and is `false`.
    ///
    /// # Errors
    /// When too many are waiting, or the hash is no PHC string.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        self.run(move || {
            let hash = hash.as_deref().unwrap_or(DUMMY_HASH);
            let parsed = PasswordHash::new(hash).map_err(|error| PasswordError::Failed(error.to_string()))?;
            Ok(Argon2::default()
                .verify_password(password.as_bytes(), &parsed)
                .is_ok())
        })
        .await?
    }

    /// Runs `work` on a blocking thread. Its permits stay with the work, also when the caller goes away.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| PasswordError::Busy)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Busy)?;
        let permits: [OwnedSemaphorePermit; 2] = [admitted, running];
        let all = Arc::clone(&self.running);
        web::block(move || {
            let done = work();
            drop(permits);
            // This was the last one that ran.
            if all.available_permits() == cores() {
                memory::give_back();
            }
            done
        })
        .await
        .map_err(|error| PasswordError::Failed(error.to_string()))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let failed = |error: argon2::password_hash::Error| PasswordError::Failed(error.to_string());
    let salt = SaltString::encode_b64(&entropy::bytes::<16>()).map_err(failed)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(failed)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::Params;

    use super::*;

    #[actix_web::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let verify = async |text: &str| {
            passwords
                .verify(text.to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        };
        assert!(verify("correct horse").await);
        assert!(!verify("correct house").await);
        assert!(!verify("").await);
    }

    #[actix_web::test]
    async fn without_a_hash_a_password_is_compared_at_full_cost_and_never_right() {
        let dummy = PasswordHash::new(DUMMY_HASH).unwrap();
        let params = Params::try_from(&dummy).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (
                Params::DEFAULT_M_COST,
                Params::DEFAULT_T_COST,
                Params::DEFAULT_P_COST
            )
        );
        assert!(!Passwords::new().verify(String::new(), None).await.unwrap());
    }

    #[actix_web::test]
    async fn a_password_is_refused_when_too_many_wait() {
        let passwords = Passwords {
            admitted: Arc::new(Semaphore::new(0)),
            running: Arc::new(Semaphore::new(1)),
        };
        let refused = passwords.verify("password".to_owned(), None).await;
        assert!(matches!(refused, Err(PasswordError::Busy)));
    }

    #[test]
    fn a_password_has_8_characters_and_at_most_256_bytes() {
        assert!(check("1234567").is_err());
        assert!(check("äöüäöüä").is_err());
        assert!(check("12345678").is_ok());
        assert!(check(&"x".repeat(256)).is_ok());
        assert!(check(&"x".repeat(257)).is_err());
    }
}
