//! The CPU time and the memory of the server and its database.

use anyhow::Result;

use crate::{
    figures::{DATABASE_CPU, RESIDENT, SERVER_CPU},
    instance::Instance,
    proc_fs,
    report::{Row, as_f64, mebibytes},
};

/// CPU time per 1,000 events, and memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    server_cpu: f64,
    database_cpu: Option<f64>,
    peak_memory: u64,
}

/// CPU time since the processes were started, in seconds.
pub(crate) struct CpuTime {
    server: f64,
    database: Option<f64>,
}

impl CpuTime {
    pub(crate) fn now(instance: &Instance) -> Result<Self> {
        Ok(Self {
            server: proc_fs::cpu_seconds(instance.server()?.id())?,
            database: instance.database.cpu_seconds()?,
        })
    }

    /// The cost since this reading, for so many events.
    pub(crate) fn cost(&self, instance: &Instance, events: u64) -> Result<Cost> {
        let now = Self::now(instance)?;
        let thousands = as_f64(events.max(1)) / 1000.0;
        let database = now.database.zip(self.database);
        Ok(Cost {
            server_cpu: (now.server - self.server) / thousands,
            database_cpu: database.map(|(now, before)| (now - before) / thousands),
            peak_memory: proc_fs::peak_memory(instance.server()?.id())?,
        })
    }
}

impl Cost {
    pub(crate) fn add_to(self, row: &mut Row) {
        row.add(SERVER_CPU, self.server_cpu);
        if let Some(database) = self.database_cpu {
            row.add(DATABASE_CPU, database);
        }
        row.add("peak MiB", mebibytes(self.peak_memory));
    }
}

/// Adds the resident memory of the server as it is now, and returns it, in MiB.
pub(crate) fn add_resident(instance: &Instance, row: &mut Row) -> Result<f64> {
    let memory = mebibytes(proc_fs::resident_memory(instance.server()?.id())?);
    row.add(RESIDENT, memory);
    Ok(memory)
}
