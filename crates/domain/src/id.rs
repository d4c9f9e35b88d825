//! Identifiers. Each kind of thing has its own type, so that one cannot stand in for another.

#![warn(missing_docs)]

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this UUID. A new one is a UUID v7, as `Clock::new_uuid` gives it.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Its UUID, without the kind.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    };
}

id!(
    /// A workspace: the tenant. On the wire it is the event's `tenantId`.
    WorkspaceId
);
id!(
    /// An extension installed in a workspace. On the wire it is `extensionId`.
    InstallationId
);
id!(
    /// A recorded event; a UUID v7 assigned when it is accepted, and the `webhook-id` of its deliveries.
    EventId
);
id!(
    /// A subscription of an installation. It may own several spans over time.
    SubscriptionId
);
id!(
    /// A dead letter: one per (installation, event).
    DeadLetterId
);
id!(
    /// A person who can sign in.
    UserId
);
