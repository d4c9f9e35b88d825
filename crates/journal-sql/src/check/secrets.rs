//! Tries the master key on what is sealed.

use sea_orm::{DatabaseTransaction, DbErr};

use super::collected::Collected;
use crate::key_check::{self, MasterKey, Pages};

const ANOTHER_KEY: &str = "another master key";
const UNREADABLE: &str = "secret that the key does not open";

/// Says where the key is not that of the database, and which installations have a secret or header that it does not
/// open.
pub(super) async fn try_on_all(
    snapshot: &DatabaseTransaction,
    key: &dyn MasterKey,
    found: &mut Collected,
) -> Result<(), DbErr> {
    let stored = key_check::stored(snapshot).await?;
    if stored.is_some_and(|value| !key.is_check_value(&value)) {
        let origin = key.origin();
        found.add(ANOTHER_KEY, || {
            format!("{origin} is not the key that the database was used with")
        });
    }
    let mut pages = Pages::default();
    while let Some(page) = pages.next(snapshot).await? {
        for row in page.iter().filter(|row| row.is_unreadable(key)) {
            found.add(UNREADABLE, || {
                format!("installation {} of workspace {}", row.id, row.workspace_id)
            });
        }
    }
    Ok(())
}
