//! Checks at a start that the master key is the one that the database was used with.

use std::collections::HashSet;

use entity::{ext_installation, master_key_check};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, FromQueryResult, IntoActiveModel,
    QueryFilter, QueryOrder, QueryResult, QuerySelect, TransactionTrait,
};
use uuid::Uuid;

use super::OpenError;

/// The master key, as the journal needs it.
pub trait MasterKey: std::fmt::Debug + Send + Sync {
    /// The setting or the file that it comes from.
    fn origin(&self) -> &str;
    /// The value that is stored to recognise the key. Does not reveal the key.
    fn check_value(&self) -> Vec<u8>;
    /// Whether this is the key's check value. Compares in constant time.
    fn is_check_value(&self, value: &[u8]) -> bool;
    /// Whether the key opens the sealed text.
    fn opens(&self, sealed: &str) -> bool;
}

/// Installed extensions whose secret or headers the key does not open.
#[warn(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// How many there are, in all workspaces.
    pub extensions: usize,
    /// How many workspaces have such an extension.
    pub workspaces: usize,
}

/// The id of the only row.
const ID: i32 = 1;
/// Installations that are read at a time.
const PAGE: u64 = 500;

/// What the database, perhaps of an earlier version, says about a key that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The stored check value is the key's.
    Stored,
    /// No check value is stored. The key opens a sealed text, or nothing is sealed.
    NotStored,
    /// The tables do not exist yet.
    NoTables,
}

/// Checks the key before the migrations. Refuses a key that does not match the stored check value. Where none is
/// stored, as in a database of an earlier version, the key must open one of the sealed texts, if there are any.
pub(super) async fn check_before_migrations(
    connection: &DatabaseConnection,
    key: &dyn MasterKey,
) -> Result<Found, OpenError> {
    // An error means that the table does not exist yet. Any other error is reported by the migrations.
    if let Ok(Some(value)) = stored(connection).await {
        accept_if(key.is_check_value(&value), key)?;
        return Ok(Found::Stored);
    }
    match opens_any(connection, key).await {
        Ok(is_right) => accept_if(is_right, key).map(|()| Found::NotStored),
        Err(_) => Ok(Found::NoTables),
    }
}

/// Completes the check after the migrations: checks a key that could not be checked before, and stores its check value.
pub(super) async fn check_after_migrations(
    connection: &DatabaseConnection,
    key: &dyn MasterKey,
    found: Found,
) -> Result<(), OpenError> {
    match found {
        Found::Stored => return Ok(()),
        Found::NotStored => {}
        Found::NoTables => accept_if(opens_any(connection, key).await?, key)?,
    }
    Ok(store(connection, key).await?)
}

fn accept_if(is_right: bool, key: &dyn MasterKey) -> Result<(), OpenError> {
    if is_right {
        Ok(())
    } else {
        Err(OpenError::AnotherKey(key.origin().to_owned()))
    }
}

/// Replaces the stored check value by that of this key. Counts the installed extensions that the key does not open.
pub(super) async fn accept(
    connection: &DatabaseConnection,
    key: &dyn MasterKey,
) -> Result<Unreadable, OpenError> {
    let mut extensions = 0;
    let mut workspaces = HashSet::new();
    let mut pages = Pages::default();
    while let Some(page) = pages.next(connection).await? {
        for row in page.iter().filter(|row| row.is_unreadable(key)) {
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

pub(crate) async fn stored<C: ConnectionTrait>(connection: &C) -> Result<Option<Vec<u8>>, DbErr> {
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

/// Whether the key opens one of the sealed texts, or nothing is sealed.
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

/// The sealed texts of an installed extension. The previous secret is not checked: it expires by itself.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) id: Uuid,
    pub(crate) workspace_id: Uuid,
    signing_secret: String,
    headers: String,
}

impl FromQueryResult for Sealed {
    /// A text that cannot be read counts as empty: it says nothing about the key.
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
    /// Whether the key does not open one of the texts.
    pub(crate) fn is_unreadable(&self, key: &dyn MasterKey) -> bool {
        self.sealed().any(|sealed| !key.opens(sealed))
    }

    /// The texts that are not empty; in-process extensions have none.
    fn sealed(&self) -> impl Iterator<Item = &str> {
        [self.signing_secret.as_str(), self.headers.as_str()]
            .into_iter()
            .filter(|text| !text.is_empty())
    }
}

/// Pages of the sealed texts, the newest installation first: it is the most likely to be sealed with the current key.
#[derive(Default)]
pub(crate) struct Pages {
    before: Option<Uuid>,
}

impl Pages {
    /// None at the end.
    pub(crate) async fn next<C: ConnectionTrait>(
        &mut self,
        connection: &C,
    ) -> Result<Option<Vec<Sealed>>, DbErr> {
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
