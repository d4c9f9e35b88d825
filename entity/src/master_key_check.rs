//! A value by which a start recognises the master key that the database was used with.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "master_key_check")]
pub struct Model {
    /// 1: there is one row at the most.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Derived from the key; tells nothing about it.
    pub value: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
