//! The extensions of a process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{EventHandler, Extension};
use pointsman_domain::{event_key::EventKey, event_pattern::EventPattern, installation::check_key};

/// An extension as the registry keeps it, for as long as the process runs.
#[derive(Debug)]
pub struct Registered {
    /// See [`Extension::key`].
    pub key: String,
    /// See [`Extension::name`].
    pub name: String,
    /// In the order in which they were declared.
    pub handlers: Vec<EventHandler>,
}

impl Registered {
    /// The handlers that take events with this key, in the order in which they were declared.
    pub fn handlers_of(&self, key: &EventKey) -> impl Iterator<Item = &EventHandler> {
        self.handlers.iter().filter(move |handler| handler.takes(key))
    }

    /// The handler with this name.
    pub fn handler(&self, name: &str) -> Option<&EventHandler> {
        self.handlers.iter().find(|handler| handler.name() == name)
    }

    /// The patterns of all handlers, which every installation subscribes to.
    pub fn patterns(&self) -> BTreeSet<EventPattern> {
        self.handlers
            .iter()
            .map(|handler| handler.pattern().clone())
            .collect()
    }
}

/// The rule that an extension breaks. The text is for its author.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The key breaks a rule of [`Extension::key`].
    #[error("the extension key {key:?} {why}")]
    Key {
        /// The key.
        key: String,
        /// The rule.
        why: &'static str,
    },
    /// Two extensions have this key.
    #[error("an extension with the key {0:?} is registered already")]
    Duplicate(String),
    /// The extension with this key has no handler.
    #[error("the extension {0:?} has no handler")]
    NoHandlers(String),
    /// Two handlers have the same name.
    #[error("the extension {key:?} has two handlers with the name {handler:?}")]
    DuplicateHandler {
        /// The key of the extension.
        key: String,
        /// The name.
        handler: String,
    },
    /// The name of a handler is not 1 to 128 bytes of `[A-Za-z0-9_]`.
    #[error(
        "the extension {key:?} has a handler whose name {handler:?} is empty, too long or has odd characters"
    )]
    HandlerName {
        /// The key of the extension.
        key: String,
        /// The name.
        handler: String,
    },
}

/// The longest name of a handler, in bytes.
const MAX_HANDLER_NAME_BYTES: usize = 128;

/// The registered extensions. Each has a key of its own.
#[derive(Debug, Default)]
pub struct Extensions(BTreeMap<String, Arc<Registered>>);

impl Extensions {
    /// Registers an extension.
    ///
    /// # Errors
    /// [`RegistrationError`] says which rule the extension breaks. It is not registered then.
    pub fn register(&mut self, extension: Arc<dyn Extension>) -> Result<(), RegistrationError> {
        let (key, name) = (extension.key().to_owned(), extension.name().to_owned());
        if let Err(why) = check_key(&key) {
            return Err(RegistrationError::Key { key, why });
        }
        if self.0.contains_key(&key) {
            return Err(RegistrationError::Duplicate(key));
        }
        let handlers = extension.handlers();
        check_handlers(&key, &handlers)?;
        let registered = Registered {
            key: key.clone(),
            name,
            handlers,
        };
        self.0.insert(key, Arc::new(registered));
        Ok(())
    }

    /// The extension with this key.
    pub fn get(&self, key: &str) -> Option<&Arc<Registered>> {
        self.0.get(key)
    }

    /// Whether an extension has a synchronous handler for events with this key. Their publishers may have to wait then.
    pub fn has_sync_handler_of(&self, key: &EventKey) -> bool {
        self.all()
            .any(|extension| extension.handlers_of(key).any(|handler| !handler.is_async()))
    }

    /// All extensions, in the order of their keys.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Registered>> {
        self.0.values()
    }
}

fn check_handlers(key: &str, handlers: &[EventHandler]) -> Result<(), RegistrationError> {
    if handlers.is_empty() {
        return Err(RegistrationError::NoHandlers(key.to_owned()));
    }
    let mut names = BTreeSet::new();
    for handler in handlers {
        let name = handler.name();
        let (key, handler) = (key.to_owned(), name.to_owned());
        if !is_handler_name(name) {
            return Err(RegistrationError::HandlerName { key, handler });
        }
        if !names.insert(name) {
            return Err(RegistrationError::DuplicateHandler { key, handler });
        }
    }
    Ok(())
}

/// Whether a handler can have this name: ASCII letters, digits and `_`, as in the names of methods.
pub(super) fn is_handler_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_HANDLER_NAME_BYTES
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
