//! From what the author wrote to the model.

mod arguments;
mod attribute;
mod errors;
mod method;
mod options;
mod parameters;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Error, GenericParam, ImplItem, Item, ItemImpl, Result, Signature, parse_quote,
    spanned::Spanned,
};

use self::{attribute::is_event_handler, errors::Errors};
use crate::model::{Extension, Handler};

/// A method with `#[event_handler]`, and all its attributes.
pub(crate) struct Marked {
    signature: Signature,
    attributes: Vec<Attribute>,
}

/// The `impl` block that has `#[extension]`.
pub(crate) fn block(item: TokenStream) -> Result<ItemImpl> {
    match syn::parse2(item)? {
        Item::Impl(block) => Ok(block),
        _ => Err(Error::new(
            Span::call_site(),
            "`#[extension]` belongs on an `impl` block with handlers: write it above `impl …`, \
             not above the type",
        )),
    }
}

/// Takes the arguments of `#[event_handler]`, and puts [`in_extension`] in their place. The attribute itself stays,
/// because the author's import of it would be unused otherwise.
pub(crate) fn take_handlers(block: &mut ItemImpl) -> Vec<Marked> {
    let methods = block.items.iter_mut().filter_map(|item| match item {
        ImplItem::Fn(method) if method.attrs.iter().any(is_event_handler) => Some(method),
        _ => None,
    });
    methods
        .map(|method| {
            let attributes = method.attrs.clone();
            for attribute in &mut method.attrs {
                if is_event_handler(attribute) {
                    let (path, arguments) = (attribute.path().clone(), in_extension());
                    attribute.meta = parse_quote!(#path(#arguments));
                }
            }
            Marked {
                signature: method.sig.clone(),
                attributes,
            }
        })
        .collect()
}

/// The arguments that mark an attribute as processed. No author writes them by mistake.
pub(crate) fn in_extension() -> TokenStream {
    quote!(in extension)
}

/// # Errors
/// Everything that is wrong, each error at its place.
pub(crate) fn extension(arguments: TokenStream, block: &ItemImpl, marked: &[Marked]) -> Result<Extension> {
    let mut errors = Errors::default();
    errors.note(check_block(block, marked));
    let identity = errors.note(options::extension(arguments));
    let handlers: Vec<Option<Handler>> = marked.iter().map(|marked| handler(marked, &mut errors)).collect();
    errors.finish()?;
    let (key, name) = identity.expect("what is missing is among the errors");
    Ok(Extension {
        key,
        name,
        generics: block.generics.clone(),
        self_type: (*block.self_ty).clone(),
        handlers: handlers.into_iter().flatten().collect(),
    })
}

fn handler(marked: &Marked, errors: &mut Errors) -> Option<Handler> {
    let options = errors.note(options::event_handler(&marked.attributes));
    let method = method::method(&marked.signature, &marked.attributes, errors);
    Some(Handler {
        options: options?,
        method: method?,
    })
}

fn check_block(block: &ItemImpl, marked: &[Marked]) -> Result<()> {
    let self_type = &*block.self_ty;
    let shown = self_type.to_token_stream();
    if let Some((_, path, _)) = &block.trait_ {
        let message = format!(
            "`#[extension]` belongs on an `impl` block of the type itself: write `impl {shown} {{ … }}`"
        );
        return Err(Error::new_spanned(path, message));
    }
    if let Some(place) = borrowed(block) {
        let message = "an extension lives as long as the router and cannot borrow: \
                       let it own what it needs, or share it in an `Arc`";
        return Err(Error::new(place, message));
    }
    if marked.is_empty() {
        let message =
            format!("`{shown}` handles nothing: write `#[event_handler(event_key = \"…\")]` above a method");
        return Err(Error::new_spanned(self_type, message));
    }
    Ok(())
}

/// Where the type has a lifetime other than `'static`.
fn borrowed(block: &ItemImpl) -> Option<Span> {
    let parameter = block
        .generics
        .params
        .iter()
        .find_map(|parameter| match parameter {
            GenericParam::Lifetime(lifetime) => Some(lifetime.span()),
            _ => None,
        });
    parameter.or_else(|| lifetime_in(block.self_ty.to_token_stream()))
}

fn lifetime_in(tokens: TokenStream) -> Option<Span> {
    let mut after_quote = None;
    for token in tokens {
        let found = match (&token, after_quote.take()) {
            (TokenTree::Ident(name), Some(quote)) => (*name != "static").then_some(quote),
            (TokenTree::Group(group), _) => lifetime_in(group.stream()),
            (TokenTree::Punct(punct), _) if punct.as_char() == '\'' => {
                after_quote = Some(punct.span());
                None
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}
