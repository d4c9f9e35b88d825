//! A span: the stretch of the log in which a subscription was open. It stays when it has ended.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ext_event_subscription")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// A subscription has a new span where its installation is enabled again and events came in between.
    pub subscription_id: Uuid,
    pub installation_id: Uuid,
    pub workspace_id: Uuid,
    /// Exact or a pattern.
    pub event_key: String,
    /// Exclusive.
    pub from_seq: i64,
    /// Inclusive; open while absent.
    pub until_seq: Option<i64>,
    /// `UNSUBSCRIBED`, `DISABLED`, `UNINSTALLED`.
    pub closed_by: Option<String>,
    /// The latest span of a subscription that was not ended, whether it is open or closed by `DISABLED`.
    pub is_current: bool,
    /// When the subscription was made.
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
