//! What a client is told of who is signed in.

use pointsman_domain::{id::UserId, role::GlobalRole};
use serde::Serialize;

/// Who is signed in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedInDto {
    pub(super) id: UserId,
    pub(super) email: String,
    pub(super) role: GlobalRole,
}
