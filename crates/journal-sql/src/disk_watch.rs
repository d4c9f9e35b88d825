//! Refuses events when the disk of an embedded database is nearly full. The remaining space is for settlements, dead
//! letters, deletions and checkpoints of the write-ahead log.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::database::DatabaseUrl;
use pointsman_journal::{Health, StorageTrouble};

/// How often the free space is measured. On a fast disk some ten MiB of events are written in this time.
const EVERY: Duration = Duration::from_millis(250);

/// Measures the free space periodically until it is dropped.
#[derive(Debug, Default)]
pub(super) struct DiskWatch {
    task: Option<tokio::task::JoinHandle<()>>,
}

impl DiskWatch {
    /// Starts the watch where the database is a file. Call it on the journal's runtime. The first result is in `health`
    /// when this returns.
    pub(super) async fn start(url: &DatabaseUrl, min_free_bytes: u64, health: Arc<Health>) -> Self {
        let (Some(file), true) = (url.file(), min_free_bytes > 0) else {
            return Self::default();
        };
        let mut check = FreeSpaceCheck {
            folder: folder_of(&file),
            min_free_bytes,
            health,
            short: false,
        };
        check.measure().await;
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                check.measure().await;
            }
        });
        Self { task: Some(task) }
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct FreeSpaceCheck {
    folder: PathBuf,
    min_free_bytes: u64,
    health: Arc<Health>,
    short: bool,
}

impl FreeSpaceCheck {
    async fn measure(&mut self) {
        let folder = self.folder.clone();
        // A file system that hangs must not hold up the writer's thread.
        let free = tokio::task::spawn_blocking(move || free_bytes(&folder)).await;
        match free {
            Ok(Ok(free)) => self.judge(free),
            // Not a reason to refuse events: the writer notices when the disk is gone.
            Ok(Err(error)) => log::debug!(error:%; "the free space of the disk cannot be measured"),
            Err(error) => log::debug!(error:%; "the free space of the disk cannot be measured"),
        }
    }

    fn judge(&mut self, free: u64) {
        // Events are accepted again only with an eighth more than the minimum, so that the state does not flap.
        let wanted = if self.short {
            self.min_free_bytes + self.min_free_bytes / 8
        } else {
            self.min_free_bytes
        };
        let short = free < wanted;
        if short != self.short {
            if short {
                log::error!(
                    free, min_free_bytes = self.min_free_bytes;
                    "the disk is nearly full: events are refused, deliveries go on"
                );
            } else {
                log::info!(free; "there is room on the disk again: events are accepted");
            }
        }
        self.short = short;
        self.health.set_disk(short.then_some(StorageTrouble::DiskFull {
            free_mib: free / (1024 * 1024),
        }));
    }
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}

/// The folder of this file.
pub(crate) fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_refused_below_the_watermark_until_there_is_clearly_room() {
        let health = Arc::<Health>::default();
        let mut check = FreeSpaceCheck {
            folder: PathBuf::new(),
            min_free_bytes: 800,
            health: Arc::clone(&health),
            short: false,
        };
        let mut refused_at = |free| {
            check.judge(free);
            assert_eq!(health.state().is_err(), health.is_short_of_space());
            health.is_short_of_space()
        };
        let seen: Vec<bool> = [801, 800, 799, 800, 899, 900, 850]
            .into_iter()
            .map(&mut refused_at)
            .collect();
        assert_eq!(seen, [false, false, true, true, true, false, false]);
    }
}
