//! What the server prints at the start: its address and, for a new database, two commands to paste.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::router::find_workspace;
use pointsman_auth::bootstrap::{Bootstrapped, DEMO_WORKSPACE};
use pointsman_engine::EventRouter;

/// Prints a generated password. It is shown only here, before the admin is created.
///
/// # Errors
/// Where it cannot be printed, so that nobody can know it.
pub(super) fn announce(email: &str, password: &str) -> io::Result<()> {
    write(&format!(
        "The database is empty. An admin is made: {email}\nIts password, shown this once:     {password}\n\n"
    ))
}

/// The address by which clients reach the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    /// Whether sessions work over HTTPS only, which a proxy in front of the server provides.
    pub(super) secure_cookies: bool,
}

impl Door {
    /// The base of the URLs of the API. For a server that listens on every interface it is the loopback address.
    fn base(self) -> String {
        if self.secure_cookies {
            return "https://<your proxy>".to_owned();
        }
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        format!("http://{address}")
    }
}

/// Prints the address, and the two commands that publish the first event.
pub(super) async fn print(door: Door, router: &EventRouter, bootstrapped: Option<&Bootstrapped>) {
    let address = door.address;
    let text = match bootstrapped {
        None => format!("Pointsman listens on http://{address}\nHealth: http://{address}/readyz\n"),
        Some(made) => {
            let demo = match made.demo {
                Some(demo) => Some(demo),
                // Without it, the commands leave out the second one.
                None => find_workspace(router, DEMO_WORKSPACE).await.ok().flatten(),
            };
            first_steps(door, made, demo)
        }
    };
    // The server works without a terminal, too.
    let _ = write(&text);
}

fn first_steps(door: Door, made: &Bootstrapped, demo: Option<pointsman_domain::id::WorkspaceId>) -> String {
    let email = &made.admin_email;
    let (address, base) = (door.address, door.base());
    let mut text = format!("Pointsman listens on http://{address}\n\n");
    let password = match &made.generated_password {
        Some(password) => password.as_str(),
        // A configured password is not printed.
        None => {
            text.push_str(&format!("The database was empty. An admin was made: {email}\n\n"));
            "<bootstrap.admin_password>"
        }
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{}:\n\n\
         curl -c cookies.txt {base}/api/auth/login -H 'Content-Type: application/json' \\\n  \
         -d '{{\"email\":\"{email}\",\"password\":\"{password}\"}}'\n",
        match demo {
            Some(_) => "Sign in, and publish a first event",
            None => "Sign in",
        }
    );
    if let Some(demo) = demo {
        let _ = write!(
            text,
            "\ncurl -b cookies.txt {base}/api/workspaces/{demo}/events/publish \\\n  \
             -H 'Content-Type: application/json' \\\n  -d '{FIRST_EVENT}'\n"
        );
    }
    text.push('\n');
    text
}

/// Writes to standard output, for the person at the terminal, and not to the log.
fn write(text: &str) -> io::Result<()> {
    let mut terminal = io::stdout().lock();
    terminal.write_all(text.as_bytes())?;
    terminal.flush()
}

const FIRST_EVENT: &str = concat!(
    r#"{"eventKey":"crm.deal.closed","schemaVersion":"1.0","actor":"user-uuid","#,
    r#""payload":{"dealId":"deal-123","amount":"5000.00","currency":"USD"}}"#,
);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_domain::id::WorkspaceId;

    fn told(address: &str, secure_cookies: bool, demo: bool) -> String {
        let door = Door {
            address: address.parse().unwrap(),
            secure_cookies,
        };
        let made = Bootstrapped {
            admin_email: "admin@pointsman.local".to_owned(),
            generated_password: None,
            demo: None,
        };
        let demo = demo.then(|| WorkspaceId::new(uuid::Uuid::nil()));
        first_steps(door, &made, demo)
    }

    #[test]
    fn the_commands_work_where_they_are_pasted() {
        for (address, base) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/api/"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080/api/"),
            ("[::]:8080", "http://[::1]:8080/api/"),
            ("10.0.0.7:80", "http://10.0.0.7:80/api/"),
        ] {
            assert_eq!(told(address, false, true).matches(base).count(), 2, "{address}");
        }
    }

    #[test]
    fn sessions_that_are_for_https_begin_at_the_proxy() {
        let text = told("0.0.0.0:8080", true, false);
        assert!(
            text.contains("curl -c cookies.txt https://<your proxy>/api/auth/login"),
            "{text}"
        );
        assert!(text.contains("Sign in:") && !text.contains("publish"), "{text}");
    }
}
