//! The signature of a handler.

use syn::{Attribute, Error, Result, ReturnType, Signature, Type, ext::IdentExt, spanned::Spanned};

use super::{errors::Errors, parameters};
use crate::{model::Method, rules};

/// The method, or `None` and everything that is wrong with it is noted.
pub(super) fn method(signature: &Signature, attributes: &[Attribute], errors: &mut Errors) -> Option<Method> {
    errors.note(check_name(signature));
    errors.note(check_kind(signature));
    let takes = errors.note(parameters::parameters(signature));
    let returns = errors.note(returned(signature));
    let conditions = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    Some(Method {
        name: signature.ident.clone(),
        conditions: conditions.cloned().collect(),
        is_async_fn: signature.asyncness.is_some(),
        takes: takes?,
        returns: returns?,
    })
}

fn check_name(signature: &Signature) -> Result<()> {
    let name = &signature.ident;
    let checked = rules::handler_name(&name.unraw().to_string());
    checked.map_err(|why| Error::new(name.span(), format!("the name of a handler {why}")))
}

fn check_kind(signature: &Signature) -> Result<()> {
    if let Some(unsafety) = &signature.unsafety {
        let message = "a handler cannot be `unsafe`: put the `unsafe` block into it";
        return Err(Error::new(unsafety.span(), message));
    }
    if let Some(abi) = &signature.abi {
        let message = "a handler cannot be `extern`: write a plain `fn` or `async fn`";
        return Err(Error::new_spanned(abi, message));
    }
    if !signature.generics.params.is_empty() {
        let message = "a handler cannot be generic: name the type that the payload is read as";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    Ok(())
}

fn returned(signature: &Signature) -> Result<Type> {
    match &signature.output {
        ReturnType::Default => {
            let message = "a handler says how it went: write `-> Result<(), HandlerError>`";
            Err(Error::new(signature.ident.span(), message))
        }
        ReturnType::Type(_, returned) => match &**returned {
            Type::ImplTrait(_) => {
                let message =
                    "a handler returns `Result<(), HandlerError>`: for one that awaits, write `async fn`";
                Err(Error::new_spanned(returned, message))
            }
            named => Ok(named.clone()),
        },
    }
}
