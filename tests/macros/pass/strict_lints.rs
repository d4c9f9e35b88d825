//! Authors who forbid much are not disturbed by what the macros write.

#![deny(
    warnings,
    missing_docs,
    unused,
    unreachable_pub,
    unused_qualifications,
    clippy::all
)]
#![deny(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_errors_doc
)]
#![deny(clippy::clone_on_ref_ptr, clippy::default_trait_access, clippy::use_self)]

use pointsman::extension::{Effect, EventContext, HandlerError, PlatformEvent, event_handler, extension};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Deal {
    id: String,
}

struct Strict;

#[extension(key = "strict", name = "Strict")]
impl Strict {
    #[event_handler(event_key = "a.b", async = true, retry = "1s, 2m", max_attempts = 2)]
    async fn deal(&self, deal: Deal, cx: EventContext) -> Result<(), HandlerError> {
        cx.publish("b.c", deal.id).await?;
        Ok(())
    }

    #[event_handler(event_key = "**")]
    fn event(&self, _: PlatformEvent) -> Result<Option<Effect>, HandlerError> {
        Ok(None)
    }
}

#[test]
fn strict_lints_hold() {
    let strict: &dyn pointsman::extension::Extension = &Strict;
    assert_eq!(strict.name(), "Strict");
}
