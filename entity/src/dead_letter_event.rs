//! A delivery that was given up, with its own copy of the event: it outlives the log's retention.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dead_letter_event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub installation_id: Uuid,
    pub extension_key: String,
    pub event_id: Uuid,
    /// Empty for an external service.
    pub handler: String,
    pub seq: i64,
    pub event_key: String,
    pub schema_version: Option<String>,
    pub actor: Option<String>,
    pub payload: String,
    pub occurred_at: i64,
    pub traceparent: Option<String>,
    /// The event whose handler published it; none where it comes from outside.
    pub causation_id: Option<Uuid>,
    /// The first event of the chain; set with `causation_id`.
    pub correlation_id: Option<Uuid>,
    /// How many events stand before it in the chain.
    pub causation_depth: i32,
    pub reason: String,
    pub attempts: i32,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    pub failed_at: i64,
    /// `DEAD`, `REPLAYING`, `REPLAYED` or `DISCARDED`.
    pub status: String,
    pub replayed_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
