//! From the model to the code. The code names everything by its full path, so that no name in the author's module can
//! shadow it.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;

use crate::model::{Extension, Handler, Method};

/// The implementation of `Extension`.
pub(crate) fn extension(extension: &Extension) -> TokenStream {
    let Extension {
        key, name, self_type, ..
    } = extension;
    let (generics, _, conditions) = extension.generics.split_for_impl();
    let handlers = extension.handlers.iter().map(handler);
    quote! {
        #[automatically_derived]
        impl #generics ::pointsman::extension::Extension for #self_type #conditions {
            fn key(&self) -> &str {
                #key
            }

            fn name(&self) -> &str {
                #name
            }

            fn handlers(
                self: ::std::sync::Arc<Self>,
            ) -> ::std::vec::Vec<::pointsman::extension::EventHandler> {
                ::std::vec::Vec::from([#(#handlers),*])
            }
        }
    }
}

fn handler(handler: &Handler) -> TokenStream {
    let Handler { method, options } = handler;
    let conditions = &method.conditions;
    let name = method.name.unraw().to_string();
    let event_key = &options.event_key;
    let call = call(method);
    let is_async = options.is_async.then(|| quote!(.asynchronous()));
    let retry = options.retry.as_deref().map(retry);
    let max_attempts = options
        .max_attempts
        .map(|attempts| quote!(.max_attempts(#attempts)));
    let schema = method.takes.payload.as_ref().map(schema);
    quote! {
        #(#conditions)*
        ::pointsman::extension::expanded::handler(&self, #name, #event_key, #call)
            #is_async #retry #max_attempts #schema
    }
}

/// A closure from the extension and the context to the outcome.
fn call(method: &Method) -> TokenStream {
    let Method {
        name, takes, returns, ..
    } = method;
    // The author's tokens are where their traits are needed, so that the compiler's errors point at them.
    let payload = takes.payload.as_ref().map(
        |payload| quote!(<#payload as ::pointsman::extension::FromEvent>::from_event(context.event())?,),
    );
    let context = takes.context.then(|| quote!(context));
    let wait = method.is_async_fn.then(|| quote!(.await));
    let called = quote_spanned!(name.span()=> Self::#name);
    quote! {
        |extension, context| async move {
            <#returns as ::pointsman::extension::expanded::IntoOutcome>::into_outcome(
                #called(&extension, #payload #context)#wait
            )
        }
    }
}

fn retry(pauses: &[Duration]) -> TokenStream {
    let pauses = pauses.iter().map(|pause| {
        let (seconds, nanos) = (pause.as_secs(), pause.subsec_nanos());
        quote!(::core::time::Duration::new(#seconds, #nanos))
    });
    quote!(.retry([#(#pauses),*]))
}

fn schema(payload: &syn::Type) -> TokenStream {
    quote! {
        .payload_schema({
            use ::pointsman::extension::expanded::{NoSchema as _, WithSchema as _};
            (&::pointsman::extension::expanded::SchemaOf::<#payload>(::core::marker::PhantomData)).schema()
        })
    }
}
