//! Trials of the real binary under load, on this machine and over loopback:
//!
//! ```text
//! cargo bench --bench trials -- neighbours|flood|backlog|retries|workspaces|overload|all
//!     [--engine sqlite|postgres] [--events N] [--seconds N] [--hanging N] [--breaker]
//! ```
//!
//! | trial | asks |
//! | --- | --- |
//! | `neighbours` | do installations that hang slow a healthy one, in their workspace or in another? |
//! | `flood` | does a workspace that publishes as fast as it can slow the publishers of another? |
//! | `backlog` | what do `--events` undelivered events cost, and how fast are they delivered in the end? |
//! | `retries` | the same of as many parked retries |
//! | `workspaces` | what do a tenth as many workspaces cost of which 100 are active? |
//! | `overload` | what becomes of more publishers than are admitted? |
//!
//! The load comes from this process, which shares the cores with the server: figures under full load are
//! those of both together. `--engine postgres` takes the server from POINTSMAN_TEST_POSTGRES_URL.

mod arguments;
mod backlog;
mod fill;
mod flood;
mod load;
mod neighbours;
mod overload;
mod report;
mod retries;
mod services;
mod workspaces;

use arguments::{Arguments, Trial};

fn main() {
    let arguments = Arguments::of_this_process();
    actix_web::rt::System::new().block_on(async {
        for trial in &arguments.trials {
            match trial {
                Trial::Neighbours => neighbours::run(&arguments).await,
                Trial::Flood => flood::run(&arguments).await,
                Trial::Backlog => backlog::run(&arguments).await,
                Trial::Retries => retries::run(&arguments).await,
                Trial::Workspaces => workspaces::run(&arguments).await,
                Trial::Overload => overload::run(&arguments).await,
            }
        }
    });
}
