//! The attribute of a handler.

use syn::Attribute;

/// Only the last segment counts: the attribute can be imported or written with its path.
pub(super) fn is_event_handler(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "event_handler")
}
