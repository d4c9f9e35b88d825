//! The host: Pointsman in a program with extensions of the bench, for the scenario `in-process`. Events are published
//! to it over HTTP, as to the other server. It prints what its handlers have seen to standard output when a line on
//! standard input asks for it.

mod extensions;
mod seen;

use std::{io::BufRead as _, sync::Arc};

use anyhow::Result;
use pointsman::{config::Config, server::Server};

pub(crate) use self::seen::{HandlerFigures, HandlersSeen};
use self::{
    extensions::{Busy, Counter, Slow},
    seen::Seen,
};

/// The first argument that starts this program as the host. Its settings are environment variables, as those of the
/// server are.
pub(crate) const COMMAND: &str = "serve-host";
/// The line that asks for the figures of the handlers.
pub(crate) const TELL: &str = "tell";
/// The line that clears the latencies.
pub(crate) const FORGET: &str = "forget";

/// Keys of the extensions, and of the events that they take.
pub(crate) const COUNTER: &str = "counter";
pub(crate) const BUSY: &str = "busy";
pub(crate) const SLOW: &str = "slow";
pub(crate) const SYNC_EVENT: &str = "bench.sync";
pub(crate) const ASYNC_EVENT: &str = "bench.async";
pub(crate) const BUSY_EVENT: &str = "bench.busy";
pub(crate) const SLOW_EVENT: &str = "bench.slow";

pub(crate) fn run() -> Result<()> {
    let config = Config::load(None)?;
    actix_web::rt::System::new().block_on(async {
        let seen = Arc::<Seen>::default();
        let server = Server::builder(config)
            .extension(Counter(Arc::clone(&seen)))
            .extension(Busy(Arc::clone(&seen)))
            .extension(Slow(Arc::clone(&seen)))
            .start()
            .await?;
        std::thread::spawn(move || answer(&seen));
        Ok(server.run().await?)
    })
}

#[expect(clippy::print_stdout, reason = "the bench reads the figures from there")]
fn answer(seen: &Seen) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            TELL => {
                if let Ok(text) = serde_json::to_string(&seen.told()) {
                    println!("{text}");
                }
            }
            FORGET => seen.forget(),
            _ => {}
        }
    }
}
