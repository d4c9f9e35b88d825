//! Standard error as a target of the log that holds nobody up.
//!
//! A line is written at once where standard error takes it. Where it does not, because nobody reads the other end of a
//! pipe, the line waits in memory and a thread writes it as soon as it can. What does not fit there is left out and
//! counted.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// Most bytes that wait.
const MAX_WAITING: usize = 1 << 20;
/// A pipe that says that it takes any bytes takes so many without blocking: PIPE_BUF of Linux, pipe(7).
const PIECE: usize = 4096;

/// Writes to `out` without blocking; what is written at a time is a line. Clones share what waits.
pub(super) struct PatientWriter<W> {
    shared: Arc<Shared<W>>,
}

struct Shared<W> {
    out: W,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines left out that no line tells of yet.
    lost: u64,
    /// The thread writes a line that is not among `lines` any more.
    is_writing: bool,
    has_thread: bool,
}

impl<W> Clone for PatientWriter<W> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<W: AsFd + Send + Sync + 'static> PatientWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            shared: Arc::new(Shared {
                out,
                waiting: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// Waits until everything is written, at most for `patience`.
    pub(super) fn drain(&self, patience: Duration) {
        let waiting = self.shared.lock();
        let written = self
            .shared
            .changed
            .wait_timeout_while(waiting, patience, |waiting| !waiting.is_empty());
        // Whether everything was written or the patience is over: the caller goes on.
        drop(written);
    }

    fn line(&self, line: &[u8]) {
        let mut waiting = self.shared.lock();
        let rest = if waiting.is_empty() {
            self.shared.write_now(line)
        } else {
            line
        };
        if rest.is_empty() {
            return;
        }
        waiting.push(rest);
        if !mem::replace(&mut waiting.has_thread, true) {
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || shared.write_waiting());
            // The next line tries again.
            waiting.has_thread = started.is_ok();
        }
        self.shared.changed.notify_all();
    }
}

impl<W: AsFd + Send + Sync + 'static> Write for PatientWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: AsFd> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what can be written without waiting, and returns the rest.
    fn write_now<'a>(&self, mut line: &'a [u8]) -> &'a [u8] {
        while !line.is_empty() && self.is_ready() {
            line = self.write_piece(line);
        }
        line
    }

    fn is_ready(&self) -> bool {
        let mut out = [PollFd::new(&self.out, PollFlags::OUT)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut out, Some(&at_once)), Ok(ready) if ready > 0)
    }

    /// Writes a piece and returns the rest, which is empty where standard error is closed.
    fn write_piece<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let piece = &line[..line.len().min(PIECE)];
        match rustix::io::write(&self.out, piece) {
            Ok(written) => &line[written..],
            Err(Errno::INTR | Errno::AGAIN) => line,
            // There is nobody to tell.
            Err(_) => &[],
        }
    }

    /// Writes what waits, for as long as the process lives.
    fn write_waiting(&self) {
        let mut waiting = self.lock();
        loop {
            let Some(line) = waiting.next() else {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            waiting.is_writing = true;
            drop(waiting);
            let mut rest = line.as_slice();
            while !rest.is_empty() {
                // Whoever sends AGAIN has made standard error non-blocking.
                let mut out = [PollFd::new(&self.out, PollFlags::OUT)];
                let _ = poll(&mut out, None);
                rest = self.write_piece(rest);
            }
            waiting = self.lock();
            waiting.is_writing = false;
            self.changed.notify_all();
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.is_writing && self.lost == 0
    }

    fn push(&mut self, line: &[u8]) {
        if self.lost > 0 || self.bytes + line.len() > MAX_WAITING {
            self.lost += 1;
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line.to_vec());
    }

    /// The next line to write. The number of lines that are missing comes behind those that were kept, and before any
    /// later one.
    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
            return Some(line);
        }
        let lost = mem::take(&mut self.lost);
        (lost > 0)
            .then(|| format!("{lost} lines of the log are missing here: nobody read them\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    /// Much longer than a pipe and what waits hold together.
    const LINES: usize = 100_000;

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up_and_what_is_missing_is_counted() {
        let (read, write) = io::pipe().unwrap();
        let log = PatientWriter::new(write);
        for number in 0..LINES {
            log.line(format!("line {number:0>40}\n").as_bytes());
        }
        let mut told = BufReader::new(read).lines().map(Result::unwrap);
        let mut kept = 0;
        let missing = loop {
            let line = told.next().unwrap();
            let Some(number) = line.strip_prefix("line ") else {
                break line;
            };
            assert_eq!(number.parse(), Ok(kept), "they are in order");
            kept += 1;
        };
        let lost = LINES - kept;
        assert_eq!(
            missing,
            format!("{lost} lines of the log are missing here: nobody read them")
        );
        assert!(kept * 46 >= MAX_WAITING, "as many as fit are kept: {kept}");
        log.drain(Duration::from_secs(60));
        log.line(b"later\n");
        assert_eq!(told.next().as_deref(), Some("later"));
    }

    #[test]
    fn a_long_line_arrives_whole() {
        let (read, write) = io::pipe().unwrap();
        let log = PatientWriter::new(write);
        let long = "x".repeat(MAX_WAITING / 2);
        log.line(format!("{long}\n").as_bytes());
        log.line(b"next\n");
        let mut told = BufReader::new(read).lines().map(Result::unwrap);
        assert!(told.next() == Some(long));
        assert_eq!(told.next().as_deref(), Some("next"));
    }

    #[test]
    fn a_closed_pipe_holds_nobody_up() {
        let (read, write) = io::pipe().unwrap();
        drop(read);
        let log = PatientWriter::new(write);
        log.line(b"lost\n");
        log.drain(Duration::from_secs(60));
        assert!(log.shared.lock().is_empty());
    }
}
