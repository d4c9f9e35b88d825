//! Which field a serde error is about. For a missing or repeated field, serde names it only in the text of the error.

use serde_path_to_error::Path;

/// The path of the field that an error with this text is about; `None` when it is about the whole.
pub(super) fn path_of(path: &Path, text: &str) -> Option<String> {
    let mut field = if path.iter().next().is_none() {
        String::new()
    } else {
        path.to_string()
    };
    if let Some(name) = unnamed_in_path(text) {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(name);
    }
    (!field.is_empty()).then_some(field)
}

/// serde's message without its position in the text, and without the name that the field's path says.
pub(super) fn message_of(text: &str) -> String {
    if text.starts_with("missing field") {
        return "missing".to_owned();
    }
    if text.starts_with("duplicate field") {
        return "given twice".to_owned();
    }
    text.rfind(" at line ")
        .map_or(text, |end| &text[..end])
        .to_owned()
}

/// The name in ``missing field `name` `` and ``duplicate field `name` ``.
fn unnamed_in_path(text: &str) -> Option<&str> {
    let rest = text
        .strip_prefix("missing field `")
        .or_else(|| text.strip_prefix("duplicate field `"))?;
    rest.split('`').next()
}
