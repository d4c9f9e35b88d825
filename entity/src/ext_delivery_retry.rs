//! A delivery to be tried (again).

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ext_delivery_retry")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub installation_id: Uuid,
    /// `LIVE` or `REPLAY`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: Uuid,
    /// Empty for an external service.
    #[sea_orm(primary_key, auto_increment = false)]
    pub handler: String,
    pub workspace_id: Uuid,
    pub seq: i64,
    /// Made so far.
    pub attempts: i32,
    pub next_attempt_at: i64,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    /// The letter that is replayed; its copy of the event is what is delivered.
    pub dead_letter_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
