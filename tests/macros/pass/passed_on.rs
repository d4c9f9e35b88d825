//! An author's own macro may write the attributes.

use std::sync::Arc;

use pointsman::extension::{EventHandler, Extension, HandlerError, event_handler, extension};

macro_rules! counting {
    ($name:ident, $key:literal, $pattern:literal, $payload:ty, $attempts:expr) => {
        struct $name;

        #[extension(key = $key)]
        impl $name {
            #[event_handler(event_key = $pattern, max_attempts = $attempts, async = true)]
            fn count(&self, _: $payload) -> Result<(), HandlerError> {
                Ok(())
            }
        }
    };
}

counting!(Deals, "deals", "crm.deal.*", serde_json::Value, 3);
counting!(Contexts, "contexts", "**", pointsman::extension::EventContext, 1);

#[test]
fn literals_may_come_from_a_macro() {
    let patterns = |handlers: Vec<EventHandler>| handlers[0].pattern().as_str().to_owned();
    assert_eq!(patterns(Arc::new(Deals).handlers()), "crm.deal.*");
    assert_eq!(patterns(Arc::new(Contexts).handlers()), "**");
    assert_eq!((Deals.key(), Contexts.key()), ("deals", "contexts"));
}
