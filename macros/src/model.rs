//! The checked arguments and signatures.

use std::time::Duration;

use proc_macro2::Ident;
use syn::{Attribute, Generics, Type};

pub(crate) struct Extension {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) generics: Generics,
    pub(crate) self_type: Type,
    /// At least one.
    pub(crate) handlers: Vec<Handler>,
}

pub(crate) struct Handler {
    pub(crate) method: Method,
    pub(crate) options: HandlerOptions,
}

/// The arguments of `#[event_handler]`.
pub(crate) struct HandlerOptions {
    pub(crate) event_key: String,
    pub(crate) is_async: bool,
    pub(crate) retry: Option<Vec<Duration>>,
    pub(crate) max_attempts: Option<u32>,
}

/// How the method is called.
pub(crate) struct Method {
    pub(crate) name: Ident,
    /// The handler exists under the same conditions as the method.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) is_async_fn: bool,
    pub(crate) takes: Takes,
    pub(crate) returns: Type,
}

/// The parameters after `&self`.
pub(crate) struct Takes {
    pub(crate) payload: Option<Type>,
    pub(crate) context: bool,
}
