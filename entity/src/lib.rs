//! SeaORM entities, one file per table.
//!
//! Every time is a `BIGINT`: milliseconds since the Unix epoch, UTC.

pub mod chat_channel;
pub mod chat_message;
pub mod dead_letter_event;
pub mod ext_delivery_attempt;
pub mod ext_delivery_cursor;
pub mod ext_delivery_retry;
pub mod ext_event_subscription;
pub mod ext_installation;
mod installation;
pub mod master_key_check;
pub mod platform_event;
pub mod platform_user;
pub mod user_session;
pub mod workspace;
pub mod workspace_log;
pub mod workspace_member;
