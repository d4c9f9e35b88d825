//! Changes that admins make, decided: what was read goes in, and what the transaction changes comes out as data. A
//! storage reads, asks here, and writes the result as it writes every [`Changes`](super::changes::Changes).

pub mod installation;
pub mod letter;
