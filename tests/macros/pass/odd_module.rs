//! Nothing in the author's module is in the way of what the macros write.

use ::std::sync::Arc as SharedValue;

type Result<T> = ::std::result::Result<T, ::pointsman::extension::HandlerError>;

/// Names that the expansion uses, with another meaning.
#[expect(dead_code, reason = "they only stand in the way")]
mod names {
    pub(super) struct Arc;
    pub(super) struct Vec;
    pub(super) struct Extension;
    pub(super) struct EventHandler;
    pub(super) trait FromEvent {
        #[expect(clippy::wrong_self_convention, reason = "it is odd on purpose")]
        fn from_event(&self) {}
        #[expect(clippy::wrong_self_convention, reason = "it is odd on purpose")]
        fn into_outcome(&self) {}
        fn clone(&self) {}
    }
    impl<T> FromEvent for T {}
    pub(super) mod core {}
    pub(super) mod std {}
    pub(super) mod pointsman {}
}
#[expect(unused_imports, reason = "they only stand in the way")]
use names::*;

struct Odd;

#[::pointsman::extension(key = "odd")]
impl Odd {
    #[::pointsman::event_handler(event_key = "odd.a")]
    fn clone(&self, extension: ::pointsman::extension::PlatformEvent) -> Result<()> {
        let _ = extension;
        Ok(())
    }

    #[::pointsman::extension::event_handler(event_key = "odd.b")]
    async fn key(&self, context: ::pointsman::extension::EventContext) -> Result<()> {
        let _ = context.attempt();
        Ok(())
    }

    #[::pointsman::event_handler(event_key = "odd.c")]
    async fn handlers(&self, (a, _): (u8, u8), _: ::pointsman::extension::EventContext) -> Result<()> {
        let _ = a;
        Ok(())
    }
}

#[test]
fn names_of_the_authors_are_not_in_the_way() {
    let handlers = ::pointsman::extension::Extension::handlers(SharedValue::new(Odd));
    let names: ::std::vec::Vec<_> = handlers.iter().map(|handler| handler.name()).collect();
    assert_eq!(names, ["clone", "key", "handlers"]);
}
