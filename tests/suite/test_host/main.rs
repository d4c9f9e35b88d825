//! A server with extensions that the suite tells what to do: the payload says where a handler stops, and there it asks
//! the service at `TEST_GATE`, which answers when the test lets it go on.

use std::{
    error::Error,
    fmt,
    io::{Read as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use futures_util::FutureExt;
use pointsman::{
    config::Config,
    extension::{Effect, EventContext, HandlerError, PlatformEvent, Publication, event_handler, extension},
    server::{Server, exit},
};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Writes entries of its own into the database.
struct Ledger;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Entry {
    entry: String,
    /// Where its first attempts wait: `handler`, `effect`, or nowhere. Or `a while`, in the effect.
    hold: Option<String>,
}

#[extension(key = "ledger")]
impl Ledger {
    #[event_handler(event_key = "ledger.entry", async = true)]
    async fn enter(&self, entry: Entry, _: EventContext) -> Result<Effect, HandlerError> {
        if entry.hold.as_deref() == Some("handler") {
            gate().await?;
        }
        let entered = Publication::new("ledger.entered", &entry)?;
        Ok(Effect::new(move |transaction| write(transaction, entry).boxed()).and_publish(entered))
    }

    #[event_handler(event_key = "ledger.wait", async = true)]
    async fn wait(&self, _: PlatformEvent) -> Result<(), HandlerError> {
        Ok(gate().await?)
    }
}

async fn write(transaction: &DatabaseTransaction, entry: Entry) -> Result<(), HandlerError> {
    // No entry is refused for being there already: what is done twice is seen.
    transaction
        .execute_unprepared("CREATE TABLE IF NOT EXISTS ledger (entry TEXT NOT NULL)")
        .await?;
    let text = entry.entry.replace('\'', "''");
    transaction
        .execute_unprepared(&format!("INSERT INTO ledger (entry) VALUES ('{text}')"))
        .await?;
    match entry.hold.as_deref() {
        Some("effect") => gate().await?,
        // Longer than an effect may take among others.
        Some("a while") => tokio::time::sleep(Duration::from_millis(40)).await,
        _ => {}
    }
    Ok(())
}

/// Computes.
struct Cruncher;

#[extension(key = "cruncher")]
impl Cruncher {
    /// Does not give its thread back before the test says so.
    #[event_handler(event_key = "crunch.numbers", async = true)]
    fn crunch(&self, _: PlatformEvent) -> Result<(), HandlerError> {
        let mut gate = std::net::TcpStream::connect(gate_address()?)?;
        gate.write_all(ASKING)?;
        gate.read_exact(&mut [0])?;
        Ok(())
    }
}

/// Handles what there is to handle.
struct Quick;

#[extension(key = "quick")]
impl Quick {
    #[event_handler(event_key = "quick.sync")]
    fn sync(&self, _: PlatformEvent) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "quick.async", async = true)]
    fn asynchronous(&self, _: PlatformEvent) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// Misbehaves in the way that the payload names.
struct Traps;

#[derive(Deserialize)]
struct Trap {
    #[serde(rename = "do")]
    deed: String,
}

/// Panics when it is dropped, with another one.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Self);
    }
}

/// An error that panics when it is asked what it is, or what its cause is.
#[derive(Debug)]
enum Wrong {
    Display,
    Source,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Display => panic!("Display panics"),
            Self::Source => f.write_str("wrong"),
        }
    }
}

impl std::error::Error for Wrong {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        panic!("source panics")
    }
}

#[extension(key = "traps")]
impl Traps {
    #[event_handler(event_key = "traps.sync")]
    async fn on_sync(&self, trap: Trap, _: EventContext) -> Result<Option<Effect>, HandlerError> {
        trap.spring().await
    }

    #[event_handler(event_key = "traps.async", async = true)]
    async fn on_async(&self, trap: Trap, _: EventContext) -> Result<Option<Effect>, HandlerError> {
        trap.spring().await
    }
}

impl Trap {
    async fn spring(self) -> Result<Option<Effect>, HandlerError> {
        match self.deed.as_str() {
            "display" => Err(Wrong::Display.into()),
            "source" => Err(Wrong::Source.into()),
            "panic" => std::panic::panic_any(Bomb),
            "thread" => {
                actix::Arbiter::current().stop();
                std::future::pending().await
            }
            "hang" => {
                let _bomb = Bomb;
                std::future::pending().await
            }
            "effect" => Ok(Some(Effect::new(|_| {
                async { Err(Wrong::Display.into()) }.boxed()
            }))),
            "effect panics" => Ok(Some(Effect::new(|_| std::panic::panic_any(Bomb)))),
            _ => Ok(None),
        }
    }
}

const ASKING: &[u8] = b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";

fn gate_address() -> std::io::Result<String> {
    std::env::var("TEST_GATE").map_err(std::io::Error::other)
}

async fn gate() -> std::io::Result<()> {
    let mut gate = TcpStream::connect(gate_address()?).await?;
    gate.write_all(ASKING).await?;
    gate.read_u8().await?;
    Ok(())
}

#[actix_web::main]
async fn main() -> ExitCode {
    exit::run(start()).await
}

async fn start() -> Result<Server, Box<dyn Error>> {
    let mut server = Server::builder(Config::load(None)?)
        .extension(Ledger)
        .extension(Cruncher)
        .extension(Quick)
        .extension(Traps);
    if std::env::var_os("TEST_QUIET").is_some() {
        server = server.without_logging().without_welcome();
    }
    Ok(server.start().await?)
}
