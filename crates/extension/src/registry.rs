//! The extensions of this process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{EventHandler, Extension};
use pointsman_domain::{event_key::EventKey, event_pattern::EventPattern, installation::check_key};

/// An extension, as it was registered.
#[derive(Debug)]
pub struct Registered {
    pub key: String,
    pub name: String,
    pub handlers: Vec<EventHandler>,
}

impl Registered {
    /// The handlers of an event, in the order in which they were declared.
    pub fn handlers_of(&self, key: &EventKey) -> impl Iterator<Item = &EventHandler> {
        self.handlers.iter().filter(move |handler| handler.takes(key))
    }

    pub fn handler(&self, name: &str) -> Option<&EventHandler> {
        self.handlers.iter().find(|handler| handler.name() == name)
    }

    /// What an installation subscribes to.
    pub fn patterns(&self) -> BTreeSet<EventPattern> {
        self.handlers
            .iter()
            .map(|handler| handler.pattern().clone())
            .collect()
    }
}

/// Why an extension cannot be registered. For its author.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    #[error("the extension key {key:?} {why}")]
    Key { key: String, why: &'static str },
    #[error("an extension with the key {0:?} is registered already")]
    Duplicate(String),
    #[error("the extension {0:?} has no handler")]
    NoHandlers(String),
    #[error("the extension {key:?} has two handlers with the name {handler:?}")]
    DuplicateHandler { key: String, handler: String },
    #[error(
        "the extension {key:?} has a handler whose name {handler:?} is empty, too long or has odd characters"
    )]
    HandlerName { key: String, handler: String },
}

/// The longest name of a handler, in bytes.
const MAX_HANDLER_NAME_BYTES: usize = 128;

/// All registered extensions, by key.
#[derive(Debug, Default)]
pub struct Extensions(BTreeMap<String, Arc<Registered>>);

impl Extensions {
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

    pub fn get(&self, key: &str) -> Option<&Arc<Registered>> {
        self.0.get(key)
    }

    /// Whether publishers of such events may have to wait for a handler.
    pub fn has_sync_handler_of(&self, key: &EventKey) -> bool {
        self.all()
            .any(|extension| extension.handlers_of(key).any(|handler| !handler.is_async()))
    }

    /// In the order of their keys.
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

/// As Rust names methods.
pub(super) fn is_handler_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_HANDLER_NAME_BYTES
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
