//! What the server and its database spend.

use anyhow::Result;

use crate::{
    figures::{DATABASE_CPU, RESIDENT, SERVER_CPU},
    proc_fs,
    report::{Row, as_f64, mebibytes},
    site::Site,
};

/// What the machine has spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    server_cpu: f64,
    database_cpu: Option<f64>,
    peak_memory: u64,
}

/// CPU time until a moment.
pub(crate) struct Spent {
    server: f64,
    database: Option<f64>,
}

impl Spent {
    pub(crate) fn so_far(site: &Site) -> Result<Self> {
        Ok(Self {
            server: proc_fs::cpu_seconds(site.server()?.id())?,
            database: site.database.cpu_seconds()?,
        })
    }

    /// What was spent since, for so many events.
    pub(crate) fn cost(&self, site: &Site, events: u64) -> Result<Cost> {
        let now = Self::so_far(site)?;
        let thousands = as_f64(events.max(1)) / 1000.0;
        let database = now.database.zip(self.database);
        Ok(Cost {
            server_cpu: (now.server - self.server) / thousands,
            database_cpu: database.map(|(now, before)| (now - before) / thousands),
            peak_memory: proc_fs::peak_memory(site.server()?.id())?,
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

/// Adds the resident memory of the server as it is now; in MiB.
pub(crate) fn add_resident(site: &Site, row: &mut Row) -> Result<f64> {
    let memory = mebibytes(proc_fs::resident_memory(site.server()?.id())?);
    row.add(RESIDENT, memory);
    Ok(memory)
}
