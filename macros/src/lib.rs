//! The attributes that make an extension of an `impl` block. Authors use them as `pointsman::extension` and
//! `pointsman::event_handler`, where the examples are.
//!
//! `parse` reads what the author wrote and reports every error, by the `rules` of the router; `model` is the checked
//! result; `expand` writes the code.

#![warn(missing_docs)]

mod expand;
mod model;
mod parse;
mod rules;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::quote;

/// The attribute implements the trait `Extension` for the type of an `impl` block. The handlers are the methods with
/// `#[event_handler]`. The block itself stays as it is.
///
/// Arguments:
/// - `key = "crm"` (required) names the extension to admins and in all records of it. It has 1 to 64 bytes of
///   `[a-z0-9_.-]`, the first of them a letter or a digit. Never change it.
/// - `name = "CRM"` is the name of an installation to which the admin has given none, 1 to 120 characters. Without it,
///   the key is the name.
///
/// The type must be `Send + Sync + 'static`: all handlers share one value, and several run at once.
///
/// # Errors
/// Wrong use does not compile; the error points at it and says what to write.
#[proc_macro_attribute]
pub fn extension(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_extension(arguments.into(), item.into()).into()
}

fn expand_extension(
    arguments: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> proc_macro2::TokenStream {
    let mut block = match parse::block(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let marked = parse::take_handlers(&mut block);
    let code = match parse::extension(arguments, &block, &marked) {
        Ok(extension) => expand::extension(&extension),
        Err(errors) => errors.into_compile_error(),
    };
    quote!(#block #code)
}

/// The attribute marks a handler in an `impl` block with `#[extension]`. The name of the method is the name of the
/// handler. It is stored with the deliveries that wait for the handler: a renamed handler is a new one, and does not
/// get them.
///
/// Arguments:
/// - `event_key = "crm.deal.closed"` (required) is the event key or the pattern of the events that it takes: `*` stands
///   for one segment (`crm.*.closed`), `**` for one or more at the end (`crm.**`). Several handlers may have the same.
/// - `async = true`: publishers do not wait for the handler, and an attempt may take `in_process.async_timeout` (5 min)
///   instead of `in_process.sync_timeout` (5 s). It is independent of `async fn`.
/// - `retry = "1s, 5s, 1m"` are the pauses between its attempts instead of `delivery.retry_schedule`: at most 100, of
///   1ms to 30d each.
/// - `max_attempts = 3` is the most attempts of a delivery, the first included: 1 to 1000. Where there are fewer
///   pauses, the last one is repeated.
///
/// The method is a `fn` or an `async fn`, whose future need not be `Send`. It takes `&self`, and then the payload,
/// an `EventContext`, or both in this order. The payload is any type that implements `serde::Deserialize`, or
/// `PlatformEvent` for the whole event. It returns `Result<T, E>`: `T` is `()`, `Effect` or `Option<Effect>`; `E` is
/// `HandlerError` or any error.
///
/// # Errors
/// Wrong use does not compile; the error points at it and says what to write.
#[proc_macro_attribute]
pub fn event_handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if arguments.to_string() == parse::in_extension().to_string() {
        return item;
    }
    let error = syn::Error::new(
        Span::call_site(),
        "`#[event_handler]` belongs on a method of an `impl` block that has `#[extension(key = \"…\")]`",
    );
    let item = proc_macro2::TokenStream::from(item);
    let error = error.into_compile_error();
    quote!(#item #error).into()
}
