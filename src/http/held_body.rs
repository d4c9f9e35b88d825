//! A large answer that counts as held until the client has taken it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use super::budget::ByteShare;

/// The body is handed out in pieces: a single piece would be copied into the connection's buffer at once, and it would
/// not be known when the client has read it.
const PIECE: usize = 32 * 1024;

pub(super) struct HeldBody {
    rest: Bytes,
    _share: ByteShare,
}

impl HeldBody {
    pub(super) fn new(bytes: impl Into<Bytes>, share: ByteShare) -> Self {
        Self {
            rest: bytes.into(),
            _share: share,
        }
    }
}

impl MessageBody for HeldBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let piece = PIECE.min(self.rest.len());
        Poll::Ready((piece > 0).then(|| Ok(self.rest.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;
    use crate::http::budget::ByteBudget;

    #[actix_web::test]
    async fn all_of_it_comes_and_then_it_is_no_longer_held() {
        let budget = ByteBudget::new(usize::MAX);
        for length in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            let sent: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let mut share = budget.share();
            assert!(share.grow(length));
            let body = HeldBody::new(sent.clone(), share);
            assert_eq!(body.size(), BodySize::Sized(length as u64));
            assert_eq!(budget.held(), length);
            assert_eq!(to_bytes(body).await.unwrap(), sent);
            assert_eq!(budget.held(), 0);
        }
    }
}
