//! `GET /api/workspaces/{workspaceId}/channels`

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::{
    chat::{WELL_KNOWN_CHANNELS, check_channel},
    http::{
        access::Caller,
        page::{Cursor, Limit, Query, page},
        problem::Problem,
        state::AppState,
    },
};
use pointsman_domain::timestamp::Timestamp;
use pointsman_store::chat;

#[derive(Debug, Deserialize)]
pub(super) struct ListChannels {
    /// The last channel of the page before.
    cursor: Option<Cursor<ChannelName>>,
    #[serde(default)]
    limit: Limit,
}

/// A text that can name a channel. Any other text is not a cursor of this list, and PostgreSQL refuses to compare with
/// some of them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct ChannelName(String);

impl TryFrom<String> for ChannelName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check_channel(&text).map(|()| Self(text))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChannelDto {
    channel: String,
    /// Only well-known channels have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    messages: i64,
    last_message_at: Option<Timestamp>,
}

/// The well-known channels and those that have messages, by name.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    query: Query<ListChannels>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.member(&caller, &workspace).await?;
    let ListChannels { cursor, limit } = query.read()?;
    let after = cursor
        .as_ref()
        .map(|Cursor(ChannelName(channel))| channel.as_str());
    let found = chat::channels(
        &state.router.reader_of(workspace),
        workspace,
        after,
        limit.fetch(),
    )
    .await?;
    let mut channels: Vec<ChannelDto> = found.into_iter().map(ChannelDto::from).collect();
    add_well_known(&mut channels, after);
    let rows = usize::try_from(limit.fetch()).unwrap_or(usize::MAX);
    channels.truncate(rows);
    Ok(page(
        channels,
        limit,
        |channel| channel.channel.clone(),
        |channel| channel,
    ))
}

impl From<chat::Channel> for ChannelDto {
    fn from(channel: chat::Channel) -> Self {
        let known = WELL_KNOWN_CHANNELS
            .iter()
            .find(|(name, _)| *name == channel.channel);
        Self {
            description: known.map(|(_, description)| *description),
            channel: channel.channel,
            messages: channel.messages,
            last_message_at: Some(channel.last_message_at),
        }
    }
}

/// Adds the well-known channels after `after` that have no messages yet, and keeps the order.
fn add_well_known(channels: &mut Vec<ChannelDto>, after: Option<&str>) {
    for (name, description) in WELL_KNOWN_CHANNELS {
        if after.is_some_and(|after| name <= after) {
            continue;
        }
        // The database orders them by their bytes.
        if let Err(place) = channels.binary_search_by(|channel| channel.channel.as_str().cmp(name)) {
            let channel = ChannelDto {
                channel: name.to_owned(),
                description: Some(description),
                messages: 0,
                last_message_at: None,
            };
            channels.insert(place, channel);
        }
    }
}
