//! What a new user sees first: where the server is, and two lines to paste.

use std::net::SocketAddr;

use crate::{
    auth::bootstrap::{Bootstrapped, DEMO_WORKSPACE},
    router::EventRouter,
    store,
};

/// Prints the address, the generated password (the only time that it is shown), and the two commands that
/// publish the first event.
#[expect(
    clippy::print_stdout,
    reason = "this is meant for the person at the terminal, not for the log"
)]
pub(super) async fn print(address: SocketAddr, router: &EventRouter, bootstrapped: Option<&Bootstrapped>) {
    println!("Pointsman listens on http://{address}");
    let Some(made) = bootstrapped else {
        return println!("Health: http://{address}/readyz");
    };
    println!();
    println!("The database was empty. An admin was made: {}", made.admin_email);
    let password = match &made.generated_password {
        Some(password) => {
            println!("Its password, shown this once:      {password}");
            password.clone()
        }
        // As the shell that set it would write it; a password that was given is not repeated here.
        None => "'\"$POINTSMAN__BOOTSTRAP__ADMIN_PASSWORD\"'".to_owned(),
    };
    let demo = match made.demo {
        Some(demo) => Some(demo),
        None => find_demo(router).await,
    };
    println!();
    println!("Sign in, and publish a first event:");
    println!();
    println!("curl -c cookies.txt http://{address}/api/auth/login -H 'Content-Type: application/json' \\");
    println!(
        "  -d '{{\"email\":\"{}\",\"password\":\"{password}\"}}'",
        made.admin_email
    );
    if let Some(demo) = demo {
        println!();
        println!("curl -b cookies.txt http://{address}/api/workspaces/{demo}/events/publish \\");
        println!("  -H 'Content-Type: application/json' \\");
        println!("  -d '{FIRST_EVENT}'");
    }
    println!();
}

const FIRST_EVENT: &str = r#"{"eventKey":"crm.deal.closed","schemaVersion":"1.0","actor":"user-uuid","payload":{"dealId":"deal-123","amount":"5000.00","currency":"USD"}}"#;

async fn find_demo(router: &EventRouter) -> Option<crate::domain::id::WorkspaceId> {
    let found = store::workspaces::find_by_name_across_workspaces(router.reader(), DEMO_WORKSPACE).await;
    found
        .ok()
        .flatten()
        .map(|workspace| crate::domain::id::WorkspaceId::new(workspace.id))
}
