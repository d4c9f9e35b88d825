//! A TCP proxy between the server and PostgreSQL that fails in the ways that networks, failovers and
//! databases fail.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::eventually::PATIENCE;

/// Larger than the statements of any test, so that a COMMIT is seldom torn apart; it is found even then.
const BUFFER_BYTES: usize = 64 * 1024;
const COMMIT: &[u8] = b"COMMIT";

/// What happens to new connections and to the bytes on present ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Forward,
    /// Nothing gets through, not even the end of a connection.
    Hang,
    /// New connections are closed at once.
    Refuse,
}

/// What becomes of one COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFate {
    /// It is applied; then the connection is lost instead of the answer.
    AppliedThenCut,
    /// It is applied, and the answer never comes.
    AppliedThenSilent,
    /// It never arrives: the connection is lost, and the backend waits with its transaction open.
    LostOnTheWay,
}

/// A running proxy. It ends with all its connections when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    mode: watch::Sender<Mode>,
    /// Each send closes all connections; `true` leaves the database's side of them open.
    cut: watch::Sender<bool>,
    trap: Mutex<Option<CommitFate>>,
    sprung: watch::Sender<u64>,
    /// The database's sides of connections that the server believes to be closed.
    left_behind: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy before the database with this URL, and the URL that leads through it.
    pub(crate) async fn before(database: &str) -> (Self, String) {
        let mut url = url::Url::parse(database).expect("a database has a URL");
        let host = url.host_str().expect("the URL of PostgreSQL has a host");
        let database = format!("{host}:{}", url.port().unwrap_or(5432));
        let proxy = Self::start(database).await.expect("a free port");
        let has_place = url.set_ip_host(proxy.address.ip()).is_ok();
        assert!(has_place && url.set_port(Some(proxy.address.port())).is_ok());
        (proxy, url.into())
    }

    async fn start(database: String) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Forward),
            cut: watch::Sender::new(false),
            trap: Mutex::default(),
            sprung: watch::Sender::new(0),
            left_behind: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, database, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// All is well again. Connections that hung go on where they stopped.
    pub fn forward(&self) {
        self.shared.mode.send_replace(Mode::Forward);
    }

    /// The network is silent.
    pub fn hang(&self) {
        self.shared.mode.send_replace(Mode::Hang);
    }

    /// The database is down: its connections end, and new ones are closed.
    pub fn refuse(&self) {
        self.shared.mode.send_replace(Mode::Refuse);
        self.cut();
    }

    /// All connections are lost, on both sides; new ones are made.
    pub fn cut(&self) {
        self.shared.cut.send_replace(false);
    }

    /// All connections are lost on the server's side; the database's backends notice nothing and stay.
    pub fn cut_leaving_backends(&self) {
        self.shared.cut.send_replace(true);
    }

    /// The next COMMIT has this fate. Waits until it had.
    pub async fn spoil_commit(&self, fate: CommitFate) {
        let mut sprung = self.shared.sprung.subscribe();
        sprung.mark_unchanged();
        *lock(&self.shared.trap) = Some(fate);
        let waited = timeout(PATIENCE, sprung.changed()).await;
        assert!(waited.is_ok(), "nothing was committed within {PATIENCE:?}");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A panic while the lock was held leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, database: String, shared: Arc<Shared>) {
    // Dropped, and with it all connections, when the accepting task is aborted.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if *shared.mode.borrow() == Mode::Refuse {
            continue;
        }
        let (database, shared) = (database.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            // An error is either side's way to end a connection.
            let _ = Relay::run(client, &database, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection.
struct Relay<'a> {
    client: TcpStream,
    database: TcpStream,
    shared: &'a Shared,
    /// The end of what the client said last.
    tail: Vec<u8>,
}

/// What comes next on a connection.
enum Step {
    FromClient(usize),
    FromDatabase(usize),
    ModeChanged,
    Cut,
}

impl<'a> Relay<'a> {
    async fn run(client: TcpStream, database: &str, shared: &'a Shared) -> io::Result<()> {
        let mut mode = shared.mode.subscribe();
        // A connection that is made while the network is silent is silent itself.
        let _ = mode.wait_for(|mode| *mode != Mode::Hang).await;
        let mut relay = Self {
            client,
            database: TcpStream::connect(database).await?,
            shared,
            tail: Vec::new(),
        };
        relay.client.set_nodelay(true)?;
        relay.database.set_nodelay(true)?;
        let mut cut = shared.cut.subscribe();
        let (mut up, mut down) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
        loop {
            let hangs = *mode.borrow_and_update() == Mode::Hang;
            let step = tokio::select! {
                _ = cut.changed() => Step::Cut,
                _ = mode.changed() => Step::ModeChanged,
                read = relay.client.read(&mut up), if !hangs => Step::FromClient(read?),
                read = relay.database.read(&mut down), if !hangs => Step::FromDatabase(read?),
            };
            match step {
                Step::Cut if *cut.borrow() => return relay.leave_backend(),
                Step::Cut | Step::FromClient(0) | Step::FromDatabase(0) => return Ok(()),
                Step::ModeChanged => {}
                Step::FromDatabase(length) => relay.client.write_all(&down[..length]).await?,
                Step::FromClient(length) => {
                    if let Some(fate) = relay.trapped(&up[..length]) {
                        return relay.spoil(fate, &up[..length]).await;
                    }
                    relay.database.write_all(&up[..length]).await?;
                }
            }
        }
    }

    /// The fate that was set for the COMMIT that ends with these bytes, if there is one.
    fn trapped(&mut self, said: &[u8]) -> Option<CommitFate> {
        self.tail.extend_from_slice(said);
        let commits = self.tail.windows(COMMIT.len()).any(|window| window == COMMIT);
        let kept = self.tail.len().min(if commits { 0 } else { COMMIT.len() - 1 });
        self.tail.drain(..self.tail.len() - kept);
        if commits {
            lock(&self.shared.trap).take()
        } else {
            None
        }
    }

    async fn spoil(mut self, fate: CommitFate, said: &[u8]) -> io::Result<()> {
        let mut answer = vec![0; BUFFER_BYTES];
        if fate != CommitFate::LostOnTheWay {
            self.database.write_all(said).await?;
            // The answer to a COMMIT tells that it has been applied.
            let _ = self.database.read(&mut answer).await?;
        }
        self.shared.sprung.send_modify(|sprung| *sprung += 1);
        match fate {
            CommitFate::AppliedThenCut => Ok(()),
            CommitFate::LostOnTheWay => self.leave_backend(),
            CommitFate::AppliedThenSilent => {
                while self.client.read(&mut answer).await? > 0 {}
                Ok(())
            }
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "each way in which a connection ends has the same type"
    )]
    fn leave_backend(self) -> io::Result<()> {
        lock(&self.shared.left_behind).push(self.database);
        Ok(())
    }
}
