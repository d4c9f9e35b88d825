//! The attributes that make an extension of an `impl` block. Authors use them as `pointsman::extension` and
//! `pointsman::event_handler`, where an example is.
//!
//! `parse` reads what the author wrote and says what is wrong with it, by the `rules` that the router has too;
//! `model` is what is left when all is well; `expand` writes the code.

mod expand;
mod model;
mod parse;
mod rules;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::quote;

/// Makes the methods with `#[event_handler]` of an `impl` block the handlers of an extension: implements
/// `Extension` for the type. The block itself stays as it is.
///
/// | argument | is |
/// | --- | --- |
/// | `key = "crm"` | required; names the extension to admins and in everything stored of it. 1 to 64 bytes of `[a-z0-9_.-]`, of which the first is a letter or a digit. Never change it |
/// | `name = "CRM"` | the name that an installation gets where the admin gives none; the key, where it is left out |
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

/// Makes a method a handler, in an `impl` block with `#[extension]`. The method's name is the handler's: it is
/// stored with what waits for it, so that a renamed one is a new one.
///
/// | argument | is |
/// | --- | --- |
/// | `event_key = "crm.deal.closed"` | required; the key or the pattern (`crm.*.closed`, `crm.**`) of what it handles. Several handlers may have the same |
/// | `async = true` | publishers do not wait for it: it runs on the event executor. Has nothing to do with `async fn` |
/// | `retry = "1s, 5s, 1m"` | the pauses between its attempts instead of those of the configuration, 1ms to 30d each |
/// | `max_attempts = 3` | how often it is tried at most, 1 to 1000; where there are fewer pauses, the last is repeated |
///
/// The method is a `fn` or an `async fn`, whose future need not be `Send`. It takes `&self`, and then the payload,
/// an `EventContext`, or both in this order. The payload is any type that implements `serde::Deserialize`, or
/// `PlatformEvent` for the whole event. It returns `Result<(), HandlerError>`, or `Result<Effect, HandlerError>`.
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
