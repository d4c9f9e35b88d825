//! Addresses that accept a message.

use std::any::Any;

use actix::{Actor, Addr, Handler, MailboxError, Message, dev::ToEnvelope};
use futures_util::{FutureExt as _, future::BoxFuture};

/// The address of an actor that handles messages of this type.
pub(crate) trait Accepts<M: Message>: Send + Sync {
    /// Sends the message. It is dropped where the actor is gone.
    fn tell(&self, message: M);

    /// Sends the message and waits for the answer. An error says that the actor is gone, or ended before it answered.
    fn ask(&self, message: M) -> BoxFuture<'static, Result<M::Result, MailboxError>>;
}

impl<A, M> Accepts<M> for Addr<A>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn tell(&self, message: M) {
        self.do_send(message);
    }

    fn ask(&self, message: M) -> BoxFuture<'static, Result<M::Result, MailboxError>> {
        self.send(message).boxed()
    }
}

/// The typed address behind `address`, where its actor is of this type.
pub(crate) fn actor_of<A: Actor>(address: &dyn Any) -> Option<Addr<A>> {
    address.downcast_ref::<Addr<A>>().cloned()
}
