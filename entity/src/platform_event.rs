//! An event in a workspace's log. Never changed; removed by retention only.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "platform_event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: Uuid,
    /// Gapless per workspace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// UUID v7; unique.
    pub id: Uuid,
    pub event_key: String,
    pub schema_version: Option<String>,
    pub actor: Option<String>,
    /// The JSON text as sent.
    pub payload: String,
    pub occurred_at: i64,
    pub traceparent: Option<String>,
    /// The event whose handler published it; none where it comes from outside.
    pub causation_id: Option<Uuid>,
    /// The first event of the chain; set with `causation_id`.
    pub correlation_id: Option<Uuid>,
    /// How many events stand before it in the chain.
    pub causation_depth: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
