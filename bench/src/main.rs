//! Measures Pointsman, and a minimal server of the same crates to compare it with.
//!
//! `scripts/bench all` runs it. [`run`] goes through the [`scenarios`]. Each starts an [`instance`] of the server and
//! [`receivers`], lets [`load`] publish, and makes a table of what [`measure`] has found. The program starts itself a
//! second time as the [`ceiling`], and as the [`host`] of extensions.

mod api;
mod arguments;
mod bench;
mod ceiling;
mod chart;
mod charts;
mod cost;
mod database;
mod event;
mod failure;
mod figures;
mod fill;
mod folder;
mod fsync;
mod host;
mod http;
mod instance;
mod latency;
mod load;
mod measure;
mod postgres;
mod proc_fs;
mod process;
mod progress;
mod receivers;
mod report;
mod run;
mod scenarios;
mod server_binary;
mod setup;
mod time;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{arguments::Arguments, failure::failed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The program has started itself as another server.
    let mut given = std::env::args().skip(1);
    let ended = match given.next().as_deref() {
        Some(ceiling::COMMAND) => ceiling::run(given),
        Some(host::COMMAND) => host::run(),
        _ => measure_all(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn measure_all() -> Result<()> {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) {
        anyhow::bail!("build it with --release: an unoptimised load measures itself, not the server");
    }
    // Installations that hang have thousands of connections. If the system allows fewer open files, some of them wait.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let server = server_binary::find(arguments.server.as_deref())?;
    let postgres = postgres::url_or_start_again(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // When this future is dropped, its servers are killed and its files removed.
        tokio::select! {
            ended = run::run(&arguments, server, postgres) => ended,
            ended = asked_to_stop() => ended,
        }
    })
}

async fn asked_to_stop() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    anyhow::bail!("stopped")
}
