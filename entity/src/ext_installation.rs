//! An extension installed in a workspace.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ext_installation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Uuid,
    /// Unique among the installed of the workspace.
    pub key: String,
    pub name: String,
    /// `EXTERNAL_SERVICE` or `IN_PROCESS`.
    pub delivery_type: String,
    pub service_base_url: Option<String>,
    /// Sealed.
    pub signing_secret: String,
    /// Sealed; signs beside the current one until `previous_secret_until`.
    pub previous_secret: Option<String>,
    pub previous_secret_until: Option<i64>,
    /// Sealed JSON object: name to value.
    pub headers: String,
    pub enabled: bool,
    pub paused: bool,
    pub concurrency: Option<i32>,
    pub ordered: bool,
    /// Attempts per second.
    pub rate_limit: Option<i32>,
    /// The code of an in-process extension is in the server that started last.
    pub available: bool,
    /// Since when it has been paused, disabled or unavailable.
    pub held_since: Option<i64>,
    /// Grows with every change, so that a reader can tell the newer of two views.
    pub revision: i64,
    pub installed_at: i64,
    /// The workspace's head when it was installed.
    pub installed_seq: i64,
    pub uninstalled_at: Option<i64>,
    pub uninstalled_seq: Option<i64>,
    /// Uninstalled, and everything that was due has been settled.
    pub closed: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
