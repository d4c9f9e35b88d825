//! What a host asks about workspaces.

use pointsman_domain::id::WorkspaceId;
use pointsman_engine::EventRouter;
use pointsman_store as store;
use sea_orm::DbErr;

/// The database could not be read, as when it did not answer within 5 s. Reading again later may succeed.
///
/// ```
/// use pointsman::server::router::{EventRouter, ReadError, find_workspace};
///
/// async fn is_known(router: &EventRouter, name: &str) -> Result<bool, ReadError> {
///     Ok(find_workspace(router, name).await?.is_some())
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the database cannot be read: {0}")]
pub struct ReadError(#[from] DbErr);

/// The id of the workspace with this name, letter for letter. Names are for people and need not differ: of several
/// workspaces with the name it is the oldest.
///
/// # Errors
/// [`ReadError`].
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::{
///     config::Config,
///     server::{
///         RouterBuilder,
///         admin::{self, Clock},
///         router::find_workspace,
///     },
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-find-workspace-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let sales = admin::add_workspace(&config, "Sales".to_owned(), Clock).await?;
/// let router = RouterBuilder::new(config).start().await?;
/// assert_eq!(find_workspace(&router, "Sales").await?, Some(sales));
/// assert_eq!(find_workspace(&router, "sales").await?, None);
/// router.stop(Duration::from_secs(30)).await;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn find_workspace(router: &EventRouter, name: &str) -> Result<Option<WorkspaceId>, ReadError> {
    Ok(store::workspaces::find_by_name_across_workspaces(router.reader(), name).await?)
}
