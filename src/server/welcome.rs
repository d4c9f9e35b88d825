//! What a new user sees first: where the server is, and two lines to paste.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
};

use crate::{
    auth::bootstrap::{Bootstrapped, DEMO_WORKSPACE},
    router::EventRouter,
    store,
};

/// Prints a password that was made: the only time that it is shown, before there is an admin with it.
///
/// # Errors
/// Where nobody can have seen it.
pub(super) fn announce(email: &str, password: &str) -> io::Result<()> {
    write(&format!(
        "The database is empty. An admin is made: {email}\nIts password, shown this once:     {password}\n\n"
    ))
}

/// Prints the address, and the two commands that publish the first event.
pub(super) async fn print(address: SocketAddr, router: &EventRouter, bootstrapped: Option<&Bootstrapped>) {
    let text = match bootstrapped {
        None => format!("Pointsman listens on http://{address}\nHealth: http://{address}/readyz\n"),
        Some(made) => {
            let demo = match made.demo {
                Some(demo) => Some(demo),
                None => find_demo(router).await,
            };
            first_steps(address, made, demo)
        }
    };
    // The server works whether or not anybody reads it.
    let _ = write(&text);
}

fn first_steps(
    address: SocketAddr,
    made: &Bootstrapped,
    demo: Option<crate::domain::id::WorkspaceId>,
) -> String {
    let email = &made.admin_email;
    let mut text = format!("Pointsman listens on http://{address}\n\n");
    let password = match &made.generated_password {
        Some(password) => password.as_str(),
        // A password that was given is not repeated here.
        None => {
            text.push_str(&format!("The database was empty. An admin was made: {email}\n\n"));
            "<bootstrap.admin_password>"
        }
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "Sign in, and publish a first event:\n\n\
         curl -c cookies.txt http://{address}/api/auth/login -H 'Content-Type: application/json' \\\n  \
         -d '{{\"email\":\"{email}\",\"password\":\"{password}\"}}'\n"
    );
    if let Some(demo) = demo {
        let _ = write!(
            text,
            "\ncurl -b cookies.txt http://{address}/api/workspaces/{demo}/events/publish \\\n  \
             -H 'Content-Type: application/json' \\\n  -d '{FIRST_EVENT}'\n"
        );
    }
    text.push('\n');
    text
}

/// To the person at the terminal, and not to the log.
fn write(text: &str) -> io::Result<()> {
    let mut terminal = io::stdout().lock();
    terminal.write_all(text.as_bytes())?;
    terminal.flush()
}

const FIRST_EVENT: &str = r#"{"eventKey":"crm.deal.closed","schemaVersion":"1.0","actor":"user-uuid","payload":{"dealId":"deal-123","amount":"5000.00","currency":"USD"}}"#;

async fn find_demo(router: &EventRouter) -> Option<crate::domain::id::WorkspaceId> {
    let found = store::workspaces::find_by_name_across_workspaces(router.reader(), DEMO_WORKSPACE).await;
    found
        .ok()
        .flatten()
        .map(|workspace| crate::domain::id::WorkspaceId::new(workspace.id))
}
