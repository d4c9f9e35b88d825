//! A PostgreSQL server that really stops.

use futures_util::future::join;

use super::{is_not_ready, is_ready, nothing_was_lost, workspace};
use pointsman_test_kit::{Cluster, Load, TestApp};

const MANY: u64 = 40;

#[actix_web::test]
async fn a_postgresql_that_is_frozen_or_stopped_or_crashes_costs_nothing() {
    let mut cluster = Cluster::start().await;
    let app = TestApp::on_server(&cluster.url(), |settings| settings).await;
    let (workspace, service) = workspace(&app).await;
    let load = Load::on(&workspace);
    let scripted = async {
        load.acknowledges(MANY).await;
        cluster.freeze();
        load.is_refused(MANY).await;
        is_not_ready(&app).await;
        cluster.thaw();
        load.acknowledges(MANY).await;

        for end in [Cluster::stop, Cluster::crash] {
            end(&mut cluster);
            load.is_refused(MANY).await;
            is_not_ready(&app).await;
            cluster.start_again().await;
            load.acknowledges(MANY).await;
        }
        is_ready(&app).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    nothing_was_lost(&app, &workspace, &service, &load.ledger()).await;
    app.finish().await;
}
