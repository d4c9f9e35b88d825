//! Publishers that cost little, so that the load takes as few of the cores as it can.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pointsman_clock::Clock;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::report::Sample;
use pointsman_test_kit::{TestApp, Workspace};

/// Of one open-loop load.
const CONNECTIONS: u64 = 32;

/// Where and as whom to publish.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    head: String,
}

/// One connection that publishes one event after the other.
pub(crate) struct Publisher {
    door: Door,
    stream: TcpStream,
    buffer: Vec<u8>,
    is_closed: bool,
}

impl Door {
    pub(crate) fn of(app: &TestApp, workspace: &Workspace) -> Self {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\ncontent-type: application/json\r\n",
            workspace.path("/events/publish"),
            app.address(),
            app.admin.cookie(),
        );
        Self {
            address: app.address(),
            head,
        }
    }

    pub(crate) async fn publisher(&self) -> io::Result<Publisher> {
        Ok(Publisher {
            door: self.clone(),
            stream: self.connect().await?,
            buffer: Vec::with_capacity(1024),
            is_closed: false,
        })
    }
}

impl Door {
    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Publisher {
    /// Connects anew where the server has ended the connection.
    async fn ready(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_closed) {
            self.stream = self.door.connect().await?;
        }
        Ok(())
    }

    /// Publishes an event with this number; returns the status of the answer.
    pub(crate) async fn publish(&mut self, number: u64) -> io::Result<u16> {
        let body = format!(r#"{{"eventKey":"crm.deal.closed","payload":{{"n":{number}}}}}"#);
        let request = format!("{}content-length: {}\r\n\r\n{body}", self.door.head, body.len());
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if let Some(answer) = whole_answer(&self.buffer) {
                self.is_closed = answer.closes;
                return Ok(answer.status);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

struct Answered {
    status: u16,
    /// The server ends the connection.
    closes: bool,
}

/// The answer, once head and body are here.
fn whole_answer(buffer: &[u8]) -> Option<Answered> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_ascii_lowercase();
    let header = |name| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map_or("", str::trim)
    };
    let length = header("content-length:").parse().unwrap_or(0);
    (buffer.len() >= head + length).then_some(())?;
    Some(Answered {
        status: text.get(9..12)?.parse().ok()?,
        closes: header("connection:") == "close",
    })
}

/// When each event of a load was published, by its number; a receiver looks it up.
#[derive(Debug)]
pub(crate) struct Departures {
    start: Instant,
    nanos: Vec<AtomicU64>,
}

impl Departures {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            start: Clock.instant(),
            nanos: (0..most).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    fn note(&self, number: u64, at: Instant) {
        let since = u64::try_from(at.duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        if let Some(slot) = usize::try_from(number)
            .ok()
            .and_then(|number| self.nanos.get(number))
        {
            slot.store(since.max(1), Ordering::Release);
        }
    }

    /// How long ago the event was published; `None` for events of another load.
    pub(crate) fn since(&self, number: u64) -> Option<Duration> {
        let slot = self.nanos.get(usize::try_from(number).ok()?)?;
        let departed = Duration::from_nanos(slot.load(Ordering::Acquire));
        (!departed.is_zero()).then(|| Clock.elapsed(self.start).saturating_sub(departed))
    }
}

/// An open loop: events leave at their time, whether earlier ones are answered or not. What waits for a
/// connection to become free counts from the time at which it should have left.
pub(crate) struct OpenLoop {
    pub(crate) door: Door,
    pub(crate) per_second: u32,
    pub(crate) lasting: Duration,
    /// The number of its first event.
    pub(crate) first: u64,
    pub(crate) departures: Arc<Departures>,
}

impl OpenLoop {
    pub(crate) fn count(&self) -> u64 {
        u64::from(self.per_second) * self.lasting.as_secs()
    }

    /// The latencies of the publishes. Panics where one is not answered with 200.
    pub(crate) async fn run(self) -> Sample {
        let load = Rc::new(self);
        let start = Clock.instant();
        let tasks: Vec<JoinHandle<Sample>> = (0..CONNECTIONS)
            .map(|lane| actix_web::rt::spawn(Rc::clone(&load).publish_every(lane, start)))
            .collect();
        let mut all = Sample::default();
        for task in tasks {
            all.extend(task.await.expect("a publisher does not panic"));
        }
        all
    }

    async fn publish_every(self: Rc<Self>, lane: u64, start: Instant) -> Sample {
        let mut publisher = self.door.publisher().await.expect("the server accepts");
        let mut sample = Sample::default();
        for number in (lane..self.count()).step_by(usize::try_from(CONNECTIONS).expect("it is small")) {
            let due = start + Duration::from_secs_f64(number_as_f64(number) / f64::from(self.per_second));
            let mut departs = due;
            if Clock.instant() < due {
                tokio::time::sleep_until(due.into()).await;
                // The timer's own lateness is ours, not the server's.
                departs = Clock.instant();
            }
            self.departures.note(self.first + number, departs);
            let status = publisher.publish(self.first + number).await;
            assert_eq!(status.expect("the server answers"), 200);
            sample.push(Clock.elapsed(departs));
        }
        sample
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn number_as_f64(number: u64) -> f64 {
    number as f64
}

/// A closed loop of so many connections on a thread of its own: each publishes as fast as it is answered.
pub(crate) struct Flood {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Flooded>>,
}

/// What came of a flood.
#[derive(Debug, Default)]
pub(crate) struct Flooded {
    pub(crate) admitted: Sample,
    pub(crate) refused: Sample,
    /// Neither 200 nor 503.
    pub(crate) other: u64,
}

impl Flood {
    /// Each connection publishes through one of the doors.
    pub(crate) fn start(doors: Vec<Door>, connections: usize) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let loops: Vec<_> = (0..connections)
                    .map(|number| {
                        let door = doors[number % doors.len()].clone();
                        actix_web::rt::spawn(publish_until(door, Arc::clone(&until)))
                    })
                    .collect();
                let mut all = Flooded::default();
                for ended in loops {
                    let flooded = ended.await.expect("a publisher does not panic");
                    all.admitted.extend(flooded.admitted);
                    all.refused.extend(flooded.refused);
                    all.other += flooded.other;
                }
                all
            })
        });
        Self {
            ended,
            thread: Some(thread),
        }
    }

    pub(crate) async fn stop(mut self) -> Flooded {
        self.ended.store(true, Ordering::Release);
        let thread = self.thread.take().expect("it was not stopped before");
        tokio::task::spawn_blocking(|| thread.join())
            .await
            .expect("waiting does not panic")
            .expect("the flood does not panic")
    }
}

async fn publish_until(door: Door, ended: Arc<AtomicBool>) -> Flooded {
    let mut flooded = Flooded::default();
    let mut publisher = door.publisher().await.ok();
    while !ended.load(Ordering::Acquire) {
        if let Some(Err(_)) = match &mut publisher {
            Some(publisher) => Some(publisher.ready().await),
            None => None,
        } {
            publisher = None;
        }
        let departs = Clock.instant();
        let status = match &mut publisher {
            Some(publisher) => publisher.publish(u64::MAX).await.ok(),
            None => None,
        };
        match status {
            Some(200) => flooded.admitted.push(Clock.elapsed(departs)),
            Some(503) => flooded.refused.push(Clock.elapsed(departs)),
            _ => {
                flooded.other += 1;
                publisher = door.publisher().await.ok();
            }
        }
    }
    flooded
}
