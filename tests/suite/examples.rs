//! The examples do what the README says.

use serde_json::json;

use crate::support::{Engine, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    a_closed_deal_is_told_in_the_channel_of_deals,
}

async fn a_closed_deal_is_told_in_the_channel_of_deals(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.example("crm_platform")).await;
    let demo = Workspace::demo(&app.admin).await;
    let deal = json!({"dealId": "deal-123", "amount": "5000.00", "currency": "USD"});
    let closed = demo.publish("crm.deal.closed", deal).await;
    let message = eventually("the message is there", async || {
        let messages = demo.get("/channels/deals/messages").await.expect(200).rows();
        messages.into_iter().next().ok_or("none")
    })
    .await;
    assert_eq!(message["message"], "Deal deal-123 closed for 5000.00 USD!");
    let announced = demo.events().await.remove(0);
    assert_eq!(announced["eventKey"], "chat.message.received");
    let announced = demo.event(announced["id"].as_str().unwrap_or_default()).await;
    let chain = json!([
        {"id": message["eventId"], "eventKey": "platform.notification"},
        {"id": closed, "eventKey": "crm.deal.closed"},
    ]);
    assert_eq!(announced["causes"], chain);
    assert_eq!(announced["correlationId"], closed);
    app.finish().await;
}
