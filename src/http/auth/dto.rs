//! The signed-in user, as the API shows it.

use pointsman_domain::{id::UserId, role::GlobalRole};
use serde::Serialize;

/// The signed-in user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedInDto {
    pub(super) id: UserId,
    pub(super) email: String,
    pub(super) role: GlobalRole,
}
