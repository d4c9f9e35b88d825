//! Roles: what a person may do, everywhere and in one workspace.

#![warn(missing_docs)]

use serde::{Deserialize, Serialize};

/// What a user may do everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GlobalRole {
    /// Everything, in every workspace.
    Admin,
    /// What the user's workspaces allow.
    User,
}

impl GlobalRole {
    /// As the API and the database write it, such as `ADMIN`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::User => "USER",
        }
    }

    /// The reverse of `as_str`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Admin, Self::User]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// What a member may do in one workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkspaceRole {
    /// What members may, and manage extensions, subscriptions, members and dead letters.
    Admin,
    /// Publish and read events.
    Member,
}

impl WorkspaceRole {
    /// As the API and the database write it, such as `MEMBER`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Member => "MEMBER",
        }
    }

    /// The reverse of `as_str`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Admin, Self::Member]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}
