//! What one tenant searches for holds up nobody else.

use std::cell::Cell;

use futures_util::future::{join, join_all};
use serde_json::json;

use super::pages::fill_log;
use pointsman_test_kit::{Engine, TestApp, USER_PASSWORD, on_both_engines};

on_both_engines! {
    forty_searches_of_one_workspace_hold_up_no_read_login_or_publish_of_others,
}

const SEARCHES: usize = 40;
const TIMES: usize = 20;

async fn forty_searches_of_one_workspace_hold_up_no_read_login_or_publish_of_others(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (searched, other) = (app.workspace("acme").await, app.workspace("globex").await);
    fill_log(&app, engine, &searched.id, 100_000, 1).await;
    let (ann, eve) = (
        app.member(&searched, "ann", "MEMBER").await,
        app.member(&other, "eve", "MEMBER").await,
    );
    let (searched, other) = (searched.seen_by(&ann.caller), other.seen_by(&eve.caller));
    let (is_over, searches) = (Cell::new(false), Cell::new(0_usize));
    // Until the others are through: none of them has waited for the end of a search.
    let search = async |number: usize| {
        let queries = [
            "actor=nobody",
            "text=nothing",
            "payload.dealId=42",
            "eventKey=none.**",
            "status=DEAD",
            "outcome=TIMEOUT",
        ];
        let mut cursor = String::new();
        while !is_over.get() {
            let query = queries[number % queries.len()];
            let page = searched
                .get(&format!("/events?{query}{cursor}"))
                .await
                .expect(200);
            assert_eq!(page.rows().len(), 0, "{query}");
            let next = page.json()["nextCursor"]
                .as_str()
                .map(|next| format!("&cursor={next}"));
            cursor = next.unwrap_or_default();
            searches.set(searches.get() + 1);
        }
    };
    let others = async {
        for number in 0..TIMES {
            let id = other.publish("a.b", json!({"number": number})).await;
            assert_eq!(other.event(&id).await["payload"]["number"], number);
            assert_eq!(other.events().await.len(), number + 1);
            let caller = app.anonymous().login("eve@pointsman.test", USER_PASSWORD).await;
            caller.get("/api/auth/me").await.expect(200);
        }
        is_over.set(true);
    };
    join(join_all((0..SEARCHES).map(search)), others).await;
    assert!(searches.get() > 0);
    app.finish().await;
}
