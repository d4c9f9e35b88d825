//! What `pointsman check` finds.

use super::super::app::TestApp;

/// What `pointsman check` says of the database of this server, where that is not that nothing is wrong.
pub(crate) async fn defects(app: &TestApp) -> Option<String> {
    let checked = app.run(&["check"], |settings| settings).await;
    (!checked.stdout.starts_with("nothing is wrong")).then(|| format!("check: {checked:?}"))
}
