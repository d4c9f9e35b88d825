//! The kit of the black-box tests: the real binary on a free port with a database of its own, external
//! services that misbehave on command, signals to wait on, and a look at the database when a test ends.
//!
//! ```text
//! let app = TestApp::start(engine).await;
//! let workspace = app.workspace("acme").await;
//! let service = Service::start().await;
//! let crm = workspace.install_external("crm", &service).subscribed_to(&["crm.**"]).await;
//! let event = workspace.publish("crm.deal.closed", json!({"amount": 1})).await;
//! service.received(1).await;
//! app.finish().await;
//! ```

#![expect(
    missing_debug_implementations,
    reason = "only tests use these types, and none of them prints one"
)]

mod app;
mod client;
mod cluster;
pub mod crash;
mod database;
mod disk;
mod eventually;
mod example_service;
mod gated;
mod load;
mod process;
mod proxy;
mod service;
mod settings;
mod tls;
mod wall_clock;
mod workspace;
mod write_ahead_log;

pub use self::{
    app::{ADMIN_EMAIL, ADMIN_PASSWORD, TestApp, USER_PASSWORD},
    client::{Answer, Caller},
    cluster::{Cluster, postgres_tool},
    database::{Engine, TestDatabase},
    disk::{ReadOnly, SmallDisk},
    eventually::{PATIENCE, eventually},
    example_service::ExampleService,
    gated::GatedService,
    load::{Ledger, Load},
    process::Ended,
    proxy::CommitFate,
    service::{DownService, Service, is_signed},
    settings::{Settings, example, server_program},
    tls::{Certificate, TestAuthority, TlsService},
    wall_clock::WallClock,
    workspace::{Extension, Workspace},
    write_ahead_log::{BOUND, LogWatch, MIB},
};

/// Makes two tests of each function that takes an [`Engine`]: `name::on_sqlite` and `name::on_postgres`. The
/// second fails where `POINTSMAN_TEST_POSTGRES_URL` is not set.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                #[actix_web::test]
                async fn on_sqlite() {
                    super::$name($crate::Engine::Sqlite).await;
                }

                #[actix_web::test]
                async fn on_postgres() {
                    super::$name($crate::Engine::Postgres).await;
                }
            }
        )+
    };
}
