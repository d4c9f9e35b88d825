//! The parameters of a handler.

use syn::{Error, FnArg, Receiver, Result, Signature, Type, spanned::Spanned};

use crate::model::Takes;

const CONTEXT: &str = "EventContext";

/// # Errors
/// When they are not `&self` and then a payload, an `EventContext`, or both.
pub(super) fn parameters(signature: &Signature) -> Result<Takes> {
    let mut types = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => check_receiver(receiver)?,
            FnArg::Typed(parameter) => types.push(checked(&parameter.ty)?),
        }
    }
    if signature.receiver().is_none() {
        let message = "a handler is a method: write `&self` as its first parameter";
        return Err(Error::new(signature.ident.span(), message));
    }
    match types[..] {
        [] => Err(Error::new(
            signature.ident.span(),
            "a handler takes an event: write a parameter whose type derives `serde::Deserialize`, \
             `PlatformEvent` for the whole event, or `EventContext`",
        )),
        [only] if is_context(only) => Ok(taking(None, true)),
        [payload] => Ok(taking(Some(payload), false)),
        [context, payload] if is_context(context) && !is_context(payload) => Err(Error::new_spanned(
            context,
            "the payload comes first, and then the `EventContext`",
        )),
        [payload, context] if is_context(context) => Ok(taking(Some(payload), true)),
        [_, second] => Err(Error::new_spanned(
            second,
            "a handler takes one payload: the second parameter can only be an `EventContext`",
        )),
        [_, _, third, ..] => Err(Error::new_spanned(
            third,
            "a handler takes at most a payload and an `EventContext`",
        )),
    }
}

fn taking(payload: Option<&Type>, context: bool) -> Takes {
    let payload = payload.cloned();
    Takes { payload, context }
}

fn check_receiver(receiver: &Receiver) -> Result<()> {
    if receiver.colon_token.is_none() && receiver.reference.is_some() && receiver.mutability.is_none() {
        return Ok(());
    }
    let message = "a handler takes `&self`, since several events are handled at once: \
                   keep what changes in a `Mutex` or an atomic";
    Err(Error::new_spanned(receiver, message))
}

fn checked(parameter: &Type) -> Result<&Type> {
    match parameter {
        Type::Reference(reference) => Err(Error::new(
            reference.and_token.span(),
            "a handler owns what it takes: leave out the `&`",
        )),
        Type::ImplTrait(_) => Err(Error::new_spanned(
            parameter,
            "a handler cannot be generic: name the type that the payload is read as",
        )),
        named => Ok(named),
    }
}

/// Decided by the name, because a macro does not see which type a name refers to. Another type with this name does not
/// compile where the handler is called.
fn is_context(parameter: &Type) -> bool {
    match parameter {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == CONTEXT),
        Type::Group(group) => is_context(&group.elem),
        Type::Paren(paren) => is_context(&paren.elem),
        _ => false,
    }
}
