//! The meaning of the arguments of the two attributes.

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Error, LitInt, LitStr, Meta, Result};

use super::{
    arguments::{Arguments, Known},
    attribute::is_event_handler,
};
use crate::{model::HandlerOptions, rules};

const EXTENSION: &[Known] = &[
    Known {
        name: "key",
        example: "key = \"crm\"",
    },
    Known {
        name: "name",
        example: "name = \"CRM\"",
    },
];

const EVENT_HANDLER: &[Known] = &[
    Known {
        name: "event_key",
        example: "event_key = \"crm.deal.closed\"",
    },
    Known {
        name: "async",
        example: "async = true",
    },
    Known {
        name: "retry",
        example: "retry = \"1s, 5s, 1m\"",
    },
    Known {
        name: "max_attempts",
        example: "max_attempts = 3",
    },
];

/// The key and the name.
pub(super) fn extension(tokens: TokenStream) -> Result<(String, String)> {
    let arguments = Arguments::parse(tokens, EXTENSION)?;
    let Some(key) = arguments.text("key")? else {
        let message = "an extension needs a key: write `#[extension(key = \"crm\")]`";
        return Err(Error::new(Span::call_site(), message));
    };
    let key = checked(&key, "the key", rules::key)?;
    let name = match arguments.text("name")? {
        Some(name) => checked(&name, "the name", rules::name)?,
        None => key.clone(),
    };
    Ok((key, name))
}

/// The options of the one `#[event_handler]` among a method's attributes.
pub(super) fn event_handler(attributes: &[Attribute]) -> Result<HandlerOptions> {
    let mut own = attributes.iter().filter(|attribute| is_event_handler(attribute));
    let missing =
        || "a handler needs what to handle: write `#[event_handler(event_key = \"crm.deal.closed\")]`";
    let Some(attribute) = own.next() else {
        return Err(Error::new(Span::call_site(), missing()));
    };
    if let Some(second) = own.next() {
        let message = "a method is one handler: take a pattern such as `crm.**`, or write a second method";
        return Err(Error::new_spanned(second, message));
    }
    let tokens = match &attribute.meta {
        Meta::List(list) => list.tokens.clone(),
        Meta::Path(_) => TokenStream::new(),
        Meta::NameValue(_) => return Err(Error::new_spanned(attribute, missing())),
    };
    let arguments = Arguments::parse(tokens, EVENT_HANDLER)?;
    let event_key = arguments.text("event_key")?;
    let event_key = event_key.ok_or_else(|| Error::new_spanned(attribute, missing()))?;
    Ok(HandlerOptions {
        event_key: checked(&event_key, "the event key", rules::event_pattern)?,
        is_async: arguments.flag("async")?.is_some_and(|flag| flag.value),
        retry: arguments.text("retry")?.map(|text| pauses(&text)).transpose()?,
        max_attempts: arguments
            .number("max_attempts")?
            .map(|n| attempts(&n))
            .transpose()?,
    })
}

fn checked(text: &LitStr, what: &str, rule: fn(&str) -> rules::Checked) -> Result<String> {
    let value = text.value();
    match rule(&value) {
        Ok(()) => Ok(value),
        Err(why) => Err(Error::new(text.span(), format!("{what} {why}"))),
    }
}

fn pauses(text: &LitStr) -> Result<Vec<std::time::Duration>> {
    rules::pauses(&text.value()).map_err(|why| Error::new(text.span(), why))
}

fn attempts(number: &LitInt) -> Result<u32> {
    let attempts = number.base10_parse().ok().filter(|n| rules::ATTEMPTS.contains(n));
    attempts.ok_or_else(|| {
        let message = "`max_attempts` is a whole number from 1 to 1000, the first attempt included";
        Error::new(number.span(), message)
    })
}
