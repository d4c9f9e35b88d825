//! One attempt of one delivery. The only table whose newest rows a crash may lose.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ext_delivery_attempt")]
pub struct Model {
    /// UUID v7: the newest has the highest.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub installation_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: Uuid,
    /// Empty for an external service.
    pub handler: String,
    pub kind: String,
    pub number: i32,
    pub outcome: String,
    pub http_status: Option<i32>,
    pub duration_ms: i64,
    pub error: Option<String>,
    /// At most the first KiB of the answer.
    pub response: Option<String>,
    pub attempted_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
