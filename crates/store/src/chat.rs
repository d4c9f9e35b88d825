//! Messages of the built-in chat extension. They are written in the transactions of effects.

use entity::{chat_channel, chat_message};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use pointsman_domain::{
    id::{EventId, WorkspaceId},
    timestamp::Timestamp,
};

/// A message in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: Uuid,
    pub channel: String,
    pub message: String,
    pub sender: String,
    /// The notification that brought it, or the event that announced it.
    pub event_id: EventId,
    pub created_at: Timestamp,
}

/// A channel that has messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub channel: String,
    pub messages: i64,
    pub last_message_at: Timestamp,
}

/// Adds the message to its channel; does nothing where its event has a message already.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    message: Message,
) -> Result<(), DbErr> {
    let channel = chat_channel::Model {
        workspace_id: workspace.uuid(),
        channel: message.channel.clone(),
        messages: 1,
        last_message_at: message.created_at.millis(),
    };
    let row = chat_message::Model {
        workspace_id: workspace.uuid(),
        channel: message.channel,
        id: message.id,
        message: message.message,
        sender: message.sender,
        event_id: message.event_id.uuid(),
        created_at: message.created_at.millis(),
    };
    let once = OnConflict::columns([chat_message::Column::WorkspaceId, chat_message::Column::EventId])
        .do_nothing()
        .to_owned();
    let inserted = chat_message::Entity::insert(row.into_active_model())
        .on_conflict(once)
        .exec_without_returning(conn)
        .await?;
    if inserted == 0 {
        return Ok(());
    }
    let one_more = Expr::col((chat_channel::Entity, chat_channel::Column::Messages)).add(1);
    let counted = OnConflict::columns([chat_channel::Column::WorkspaceId, chat_channel::Column::Channel])
        .value(chat_channel::Column::Messages, one_more)
        .update_column(chat_channel::Column::LastMessageAt)
        .to_owned();
    chat_channel::Entity::insert(channel.into_active_model())
        .on_conflict(counted)
        .exec_without_returning(conn)
        .await
        .map(drop)
}

/// The channels that have messages, by name, at most `limit` of those after `after`.
///
/// # Errors
/// When the database fails.
pub async fn channels(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Channel>, DbErr> {
    let mut query =
        chat_channel::Entity::find().filter(chat_channel::Column::WorkspaceId.eq(workspace.uuid()));
    if let Some(after) = after {
        query = query.filter(chat_channel::Column::Channel.gt(after));
    }
    let rows = query
        .order_by_asc(chat_channel::Column::Channel)
        .limit(limit)
        .all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Channel {
            channel: row.channel,
            messages: row.messages,
            last_message_at: Timestamp::from_millis(row.last_message_at),
        })
        .collect())
}

/// The messages of a channel, newest first, at most `limit` of those before `before`.
///
/// # Errors
/// When the database fails.
pub async fn messages(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    channel: &str,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Message>, DbErr> {
    let mut query = chat_message::Entity::find()
        .filter(chat_message::Column::WorkspaceId.eq(workspace.uuid()))
        .filter(chat_message::Column::Channel.eq(channel));
    if let Some(before) = before {
        query = query.filter(chat_message::Column::Id.lt(before));
    }
    let rows = query
        .order_by_desc(chat_message::Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Message {
            id: row.id,
            channel: row.channel,
            message: row.message,
            sender: row.sender,
            event_id: EventId::new(row.event_id),
            created_at: Timestamp::from_millis(row.created_at),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use pointsman_clock::Clock;

    fn message(channel: &str, number: i64) -> Message {
        Message {
            id: Clock.new_uuid(),
            channel: channel.to_owned(),
            message: format!("message {number}"),
            sender: "crm-bot".to_owned(),
            event_id: EventId::new(Clock.new_uuid()),
            created_at: Timestamp::from_millis(number),
        }
    }

    #[tokio::test]
    async fn a_message_is_in_its_channel_once() {
        let db = Fixture::new().await;
        let (ours, theirs) = (db.workspace(), db.workspace());
        let first = message("deals", 1);
        for _ in 0..2 {
            let again = Message {
                id: Clock.new_uuid(),
                ..first.clone()
            };
            insert(&db.conn, ours, again).await.unwrap();
        }
        insert(&db.conn, ours, message("deals", 2)).await.unwrap();
        let found = channels(&db.conn, ours, None, 9).await.unwrap();
        let expected = Channel {
            channel: "deals".to_owned(),
            messages: 2,
            last_message_at: Timestamp::from_millis(2),
        };
        assert_eq!(found, [expected]);
        assert!(channels(&db.conn, theirs, None, 9).await.unwrap().is_empty());
        assert!(
            messages(&db.conn, theirs, "deals", None, 9)
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn pages_go_from_the_newest_message_to_the_oldest_and_from_channel_to_channel() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        for number in 1..=3 {
            insert(&db.conn, ours, message("deals", number)).await.unwrap();
        }
        insert(&db.conn, ours, message("general", 4)).await.unwrap();
        let first = messages(&db.conn, ours, "deals", None, 2).await.unwrap();
        let second = messages(&db.conn, ours, "deals", Some(first[1].id), 2)
            .await
            .unwrap();
        let texts: Vec<_> = first
            .iter()
            .chain(&second)
            .map(|one| one.message.as_str())
            .collect();
        assert_eq!(texts, ["message 3", "message 2", "message 1"]);
        let after = channels(&db.conn, ours, Some("deals"), 9).await.unwrap();
        assert_eq!(after[0].channel, "general");
    }
}
