//! Whether a start has the master key that the database was used with.

use std::collections::HashSet;

use entity::{ext_installation, master_key_check};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult, IntoActiveModel,
    QueryFilter, QueryOrder, QueryResult, QuerySelect, TransactionTrait,
};
use uuid::Uuid;

use super::OpenError;

/// The master key, as far as the journal has to know it.
pub trait MasterKey: std::fmt::Debug + Send + Sync {
    /// The setting or the file that it comes from.
    fn origin(&self) -> &str;
    /// What is stored to know it again; tells nothing about the key.
    fn check_value(&self) -> Vec<u8>;
    /// Whether this is its check value. Takes the same time whatever differs.
    fn is_check_value(&self, value: &[u8]) -> bool;
    /// Whether it opens what was sealed.
    fn opens(&self, sealed: &str) -> bool;
}

/// Installed extensions whose secret or headers the key does not open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    pub extensions: usize,
    pub workspaces: usize,
}

/// The id of the one row.
const ID: i32 = 1;
/// Installations that are held in memory at a time.
const PAGE: u64 = 500;

/// What the tables of a database, perhaps of an earlier version, tell of a key that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The stored check value is its own.
    Stored,
    /// None is stored; it opens what is sealed, if anything is.
    Fitting,
    /// There are no such tables.
    Nothing,
}

/// Looks before the migrations. Refuses another key than that of the stored check value; where none is stored, as in
/// a database of an earlier version, the key must open one of the sealed texts, if there are any.
pub(super) async fn look(connection: &DatabaseConnection, key: &dyn MasterKey) -> Result<Found, OpenError> {
    // An error is a table that is not there yet, or will be told by the migrations.
    if let Ok(Some(value)) = stored(connection).await {
        known(key.is_check_value(&value), key)?;
        return Ok(Found::Stored);
    }
    match opens_any(connection, key).await {
        Ok(is_right) => known(is_right, key).map(|()| Found::Fitting),
        Err(_) => Ok(Found::Nothing),
    }
}

/// Ends after the migrations what [`look`] has begun: a value that is not stored yet is.
pub(super) async fn check(
    connection: &DatabaseConnection,
    key: &dyn MasterKey,
    found: Found,
) -> Result<(), OpenError> {
    match found {
        Found::Stored => return Ok(()),
        Found::Fitting => {}
        Found::Nothing => known(opens_any(connection, key).await?, key)?,
    }
    Ok(store(connection, key).await?)
}

fn known(is_right: bool, key: &dyn MasterKey) -> Result<(), OpenError> {
    if is_right {
        Ok(())
    } else {
        Err(OpenError::AnotherKey(key.origin().to_owned()))
    }
}

/// Stores the check value of this key in the place of the former, and counts what it does not open.
pub(super) async fn accept(
    connection: &DatabaseConnection,
    key: &dyn MasterKey,
) -> Result<Unreadable, OpenError> {
    let mut extensions = 0;
    let mut workspaces = HashSet::new();
    let mut pages = Pages::default();
    while let Some(page) = pages.next(connection).await? {
        for row in page
            .iter()
            .filter(|row| row.sealed().any(|sealed| !key.opens(sealed)))
        {
            extensions += 1;
            workspaces.insert(row.workspace_id);
        }
    }
    let transaction = connection.begin().await?;
    master_key_check::Entity::delete_many().exec(&transaction).await?;
    store(&transaction, key).await?;
    transaction.commit().await?;
    Ok(Unreadable {
        extensions,
        workspaces: workspaces.len(),
    })
}

async fn stored<C: ConnectionTrait>(connection: &C) -> Result<Option<Vec<u8>>, DbErr> {
    let row = master_key_check::Entity::find_by_id(ID).one(connection).await?;
    Ok(row.map(|row| row.value))
}

async fn store<C: ConnectionTrait>(connection: &C, key: &dyn MasterKey) -> Result<(), DbErr> {
    let row = master_key_check::Model {
        id: ID,
        value: key.check_value(),
    };
    master_key_check::Entity::insert(row.into_active_model())
        .exec_without_returning(connection)
        .await
        .map(drop)
}

/// Whether the key opens one of the sealed texts, or there are none.
async fn opens_any(connection: &DatabaseConnection, key: &dyn MasterKey) -> Result<bool, DbErr> {
    let mut any_sealed = false;
    let mut pages = Pages::default();
    while let Some(page) = pages.next(connection).await? {
        for sealed in page.iter().flat_map(Sealed::sealed) {
            if key.opens(sealed) {
                return Ok(true);
            }
            any_sealed = true;
        }
    }
    Ok(!any_sealed)
}

/// What is sealed of an installed extension. A former secret does not count: it ends by itself.
#[derive(Debug)]
struct Sealed {
    id: Uuid,
    workspace_id: Uuid,
    signing_secret: String,
    headers: String,
}

impl FromQueryResult for Sealed {
    /// A text that cannot be read at all says nothing about the key.
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.try_get(prefix, "id")?,
            workspace_id: row.try_get(prefix, "workspace_id")?,
            signing_secret: row.try_get(prefix, "signing_secret").unwrap_or_default(),
            headers: row.try_get(prefix, "headers").unwrap_or_default(),
        })
    }
}

impl Sealed {
    /// In-process extensions have neither.
    fn sealed(&self) -> impl Iterator<Item = &str> {
        [self.signing_secret.as_str(), self.headers.as_str()]
            .into_iter()
            .filter(|text| !text.is_empty())
    }
}

/// All that is sealed of the installed extensions, the newest first: it is the likeliest to be of the current key.
#[derive(Default)]
struct Pages {
    before: Option<Uuid>,
}

impl Pages {
    /// None at the end.
    async fn next(&mut self, connection: &DatabaseConnection) -> Result<Option<Vec<Sealed>>, DbErr> {
        use ext_installation::Column;
        let mut query = ext_installation::Entity::find()
            .select_only()
            .columns([
                Column::Id,
                Column::WorkspaceId,
                Column::SigningSecret,
                Column::Headers,
            ])
            .filter(Column::UninstalledAt.is_null());
        if let Some(before) = self.before {
            query = query.filter(Column::Id.lt(before));
        }
        let page: Vec<Sealed> = query
            .order_by_desc(Column::Id)
            .limit(PAGE)
            .into_model()
            .all(connection)
            .await?;
        self.before = page.last().map(|row| row.id);
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}
