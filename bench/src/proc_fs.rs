//! What Linux reports of a process in `/proc`.

use anyhow::{Context as _, Result};

/// The unit of the times in `/proc/PID/stat`: `USER_HZ`, which is fixed on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The times of a process, in ticks.
struct Times {
    parent: u32,
    own: u64,
    /// The times of its children that have ended.
    ended: u64,
}

/// CPU time of one process, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    Ok(in_seconds(times(pid)?.own))
}

/// CPU time of a process and its children, including those that have ended, in seconds.
pub(crate) fn cpu_seconds_of_family(pid: u32) -> Result<f64> {
    let head = times(pid)?;
    let children: u64 = processes()
        .filter_map(|child| times(child).ok())
        .filter(|child| child.parent == pid)
        .map(|child| child.own)
        .sum();
    Ok(in_seconds(head.own + head.ended + children))
}

/// The process that started this one.
pub(crate) fn parent(pid: u32) -> Result<u32> {
    Ok(times(pid)?.parent)
}

/// The name of the program, which the system cuts to 15 bytes.
pub(crate) fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// The peak of resident memory since the start or the last [`forget_peak`], in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

/// Resident memory now, in bytes.
pub(crate) fn resident_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

/// Resets the peak of resident memory.
pub(crate) fn forget_peak(pid: u32) {
    // Without the permission to do so, the peak is that since the start, which is not lower.
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Bytes that the process has written to disks.
pub(crate) fn bytes_written(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/io");
    let text = std::fs::read_to_string(&path).context(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.context("no write_bytes in /proc/PID/io")?
        .trim()
        .parse()
        .context("write_bytes")
}

fn memory(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib
        .with_context(|| format!("no {name} in /proc/{pid}/status"))?
        .parse::<u64>()?
        * 1024)
}

fn times(pid: u32) -> Result<Times> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).context(path)?;
    // The name is in brackets, and may contain spaces and brackets.
    let (_, rest) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| -> Result<u64> {
        // The first of these fields is number 3 in proc(5).
        let text = fields
            .get(number - 3)
            .context("too few fields in /proc/PID/stat")?;
        Ok(text.parse()?)
    };
    Ok(Times {
        parent: u32::try_from(field(4)?)?,
        own: field(14)? + field(15)?,
        ended: field(16)? + field(17)?,
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn in_seconds(ticks: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let ticks = ticks as f64;
    ticks / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_looked_at() {
        let me = std::process::id();
        // In this order: the CPU time grows between the two readings.
        let own = cpu_seconds(me).unwrap();
        assert!(cpu_seconds_of_family(me).unwrap() >= own);
        assert!(peak_memory(me).unwrap() >= resident_memory(me).unwrap() / 2);
        assert!(parent(me).unwrap() > 0);
        assert!(!name(me).is_empty());
    }
}
