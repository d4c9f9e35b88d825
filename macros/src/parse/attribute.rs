//! The attribute of a handler.

use syn::Attribute;

/// However the attribute was imported, it keeps its name.
pub(super) fn is_event_handler(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "event_handler")
}
