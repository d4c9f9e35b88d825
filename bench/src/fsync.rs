//! Measures how long the disk takes to make 4 KiB durable.

use std::{
    fs::OpenOptions,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::Result;

use crate::{latency::Latencies, time};

const BLOCK: [u8; 4096] = [7; 4096];
/// Blocks of the file. It is overwritten again and again, as a log is.
const BLOCKS: u64 = 1024;

/// For so long, writes 4 KiB and waits until they are on the disk. Returns the latencies.
pub(crate) fn measure(folder: &Path, lasting: Duration) -> Result<Latencies> {
    let path = folder.join("pointsman-bench-fsync");
    let measured = measure_in(&path, lasting);
    let _ = std::fs::remove_file(&path);
    measured
}

fn measure_in(path: &Path, lasting: Duration) -> Result<Latencies> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)?;
    for _ in 0..BLOCKS {
        file.write_all(&BLOCK)?;
    }
    file.sync_all()?;
    let mut latencies = Latencies::default();
    let start = time::nanos();
    for number in 0.. {
        file.seek(SeekFrom::Start(number % BLOCKS * 4096))?;
        let written = time::nanos();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        let now = time::nanos();
        latencies.record(now - written);
        if time::seconds(start, now) > lasting.as_secs_f64() {
            break;
        }
    }
    Ok(latencies)
}
