//! SQLite's disk fills up, or its files become read-only.

use futures_util::future::join;

use super::{is_not_ready, is_ready, nothing_was_lost, recorded_in_order, workspace};
use pointsman_test_kit::{Engine, GatedService, Load, ReadOnly, SmallDisk, TestApp};

const MANY: u64 = 40;
const MIB: u64 = 1024 * 1024;

#[actix_web::test]
async fn below_the_watermark_publishes_are_refused_and_deliveries_go_on() {
    let disk = SmallDisk::mount(48 * MIB);
    let app = TestApp::in_folder(disk.folder(), |settings| {
        settings
            .set("database.min_free_bytes", 16 * MIB)
            .set("delivery.timeout", "30m")
    })
    .await;
    let workspace = app.workspace("acme").await;
    let gated = GatedService::start().await;
    workspace
        .install_at("crm", gated.url())
        .subscribed_to(&["crm.**"])
        .await;
    let load = Load::on(&workspace);
    let scripted = async {
        load.acknowledges(MANY).await;
        disk.leave(12 * MIB);
        load.is_refused(MANY).await;
        is_not_ready(&app).await;
        // There is room for what was accepted before to be settled.
        gated.open();
        app.settled().await;
        disk.make_room();
        load.acknowledges(MANY).await;
        is_ready(&app).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    app.settled().await;
    let ids = recorded_in_order(&app, &workspace, &load.ledger()).await;
    assert_eq!(gated.count(), ids.len() as u64, "each was delivered once");
    app.finish().await;
}

#[actix_web::test]
async fn a_disk_without_any_room_left_costs_nothing() {
    let disk = SmallDisk::mount(16 * MIB);
    let app = TestApp::in_folder(disk.folder(), |settings| {
        // No watermark, so that the disk itself is what refuses.
        settings.set("database.min_free_bytes", 0)
    })
    .await;
    let (workspace, service) = workspace(&app).await;
    let load = Load::on(&workspace);
    let scripted = async {
        load.acknowledges(MANY).await;
        disk.fill();
        load.is_refused(MANY).await;
        is_not_ready(&app).await;
        disk.make_room();
        load.acknowledges(MANY).await;
        is_ready(&app).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    nothing_was_lost(&app, &workspace, &service, &load.ledger()).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_database_file_that_becomes_read_only_costs_nothing() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (workspace, service) = workspace(&app).await;
    let load = Load::on(&workspace);
    let scripted = async {
        load.acknowledges(MANY).await;
        let files = ["pointsman.db", "pointsman.db-wal"];
        let read_only = ReadOnly::make(files.map(|file| app.folder().join(file)).to_vec());
        load.is_refused(MANY).await;
        is_not_ready(&app).await;
        drop(read_only);
        load.acknowledges(MANY).await;
        is_ready(&app).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    nothing_was_lost(&app, &workspace, &service, &load.ledger()).await;
    app.finish().await;
}
