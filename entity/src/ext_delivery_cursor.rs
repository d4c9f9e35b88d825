//! How far an installation has settled its workspace's log, and how its last attempts ended.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ext_delivery_cursor")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub installation_id: Uuid,
    pub workspace_id: Uuid,
    pub settled_seq: i64,
    /// Settlements of an older generation are refused.
    pub generation: i64,
    /// The times of the last attempts that are settled; later attempts are known in memory only.
    pub last_success_at: Option<i64>,
    pub last_failure_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
