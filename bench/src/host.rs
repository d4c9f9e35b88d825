//! Pointsman in a program with extensions of the bench: what the scenario `in-process` publishes to. It is driven
//! over HTTP like the other; what its handlers have seen it tells on standard output, when asked on standard input.

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

/// How this program is told to be the host; its settings are in the environment, as the server's are.
pub(crate) const COMMAND: &str = "serve-host";
/// The line that asks for what was seen.
pub(crate) const TELL: &str = "tell";
/// The line that has the latencies forgotten.
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

#[expect(clippy::print_stdout, reason = "whoever asks reads it there")]
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
