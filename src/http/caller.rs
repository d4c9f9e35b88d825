//! The caller of a request.

use pointsman_domain::{id::UserId, role::GlobalRole};

use pointsman_auth::access_cache::Identity;

/// The caller of a request. Extracting it answers 401 without credentials or with bad ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user_id: UserId,
    pub role: GlobalRole,
}

impl From<Identity> for Caller {
    fn from(identity: Identity) -> Self {
        Self {
            user_id: identity.user_id,
            role: identity.role,
        }
    }
}
