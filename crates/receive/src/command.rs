//! The command `pointsman receive`.

use std::{
    fmt::Write as _,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use humantime_serde::re::humantime;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    behavior::Behavior,
    received::{Received, SignatureCheck},
    server::{ReceiverOptions, bind},
};
use pointsman_domain::signing::SigningSecret;

/// A small external service for trying things out: prints each event it gets and answers as told.
#[derive(Clone, Debug, clap::Args)]
pub struct ReceiveArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
    /// Signing secret of the installation (whsec_…); with it every signature is checked, and what is not signed
    /// with it within the last 5 minutes is answered 401
    #[arg(long, value_name = "SECRET")]
    pub secret: Option<SigningSecret>,
    /// Status to answer with
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: u16,
    /// Time to wait before answering, such as 3s or 250ms
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub delay: Duration,
    /// Take events and never answer
    #[arg(long)]
    pub hang: bool,
    /// Answer the first N events with 500
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fail_first: u64,
}

/// Receives until Ctrl-C or SIGTERM.
///
/// # Errors
/// When it cannot listen on the address.
#[expect(
    clippy::print_stdout,
    reason = "it is there to be read by the person at the terminal"
)]
pub async fn run_receive(args: ReceiveArgs) -> io::Result<()> {
    let checked = if args.secret.is_some() {
        "checked"
    } else {
        "not checked (give --secret)"
    };
    let (_, address, server) = bind(options(args)?, true)?;
    println!("Receiving events at http://{address}/events, signatures {checked}. Stop with Ctrl-C.\n");
    server.await
}

#[expect(
    clippy::print_stdout,
    reason = "it is there to be read by the person at the terminal"
)]
fn options(args: ReceiveArgs) -> io::Result<ReceiverOptions> {
    let behavior = Behavior {
        status: args.status,
        delay: args.delay,
        hang: args.hang,
        fail_first: args.fail_first,
        ..Behavior::default()
    };
    Ok(ReceiverOptions {
        address: resolve(&args.host, args.port)?,
        workers: 1,
        behavior,
        recording: false,
        refuse_unsigned: args.secret.is_some(),
        secret: args.secret,
        observer: Some(Arc::new(|received, answer| {
            println!("{}", describe(received, answer))
        })),
    })
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port)
        .to_socket_addrs()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {host}:{port}: {error}")))?
        .next()
        .ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

/// The members of a delivery's body that are shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: String,
    event_key: String,
    tenant_id: String,
    actor: Option<String>,
    occurred_at: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// One readable block, ending in a line break.
fn describe(received: &Received, answer: Option<u16>) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let title = match serde_json::from_slice::<Shown<'_>>(&received.body) {
        Ok(shown) => {
            lines.push(("id", shown.id));
            lines.push(("workspace", shown.tenant_id));
            lines.extend(shown.actor.map(|actor| ("actor", actor)));
            lines.push(("occurred", shown.occurred_at));
            lines.push(("payload", shown.payload.get().to_owned()));
            shown.event_key
        }
        Err(_) => {
            lines.push(("body", String::from_utf8_lossy(&received.body).into_owned()));
            "not an event of Pointsman".to_owned()
        }
    };
    lines.push(("signature", describe_signature(received.signature)));
    lines.push((
        "answer",
        answer.map_or_else(|| "none: it hangs".to_owned(), |status| status.to_string()),
    ));
    let mut block = format!("#{} {}\n", received.number, printable(&title));
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(block, "  {name:<10} {}", printable(&value));
    }
    block
}

fn describe_signature(check: SignatureCheck) -> String {
    match check {
        SignatureCheck::Valid => "valid".to_owned(),
        SignatureCheck::NotChecked => "not checked".to_owned(),
        SignatureCheck::Missing => "MISSING: refused".to_owned(),
        SignatureCheck::Invalid(error) => format!("INVALID: {error}; refused"),
    }
}

/// Replaces control characters, so that a sender cannot control the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderMap;
    use clap::Parser as _;

    use super::*;
    use pointsman_domain::signing::SignatureError;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: ReceiveArgs,
    }

    fn parse(line: &str) -> Result<ReceiveArgs, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.args)
    }

    fn received(body: &'static str, signature: SignatureCheck) -> Received {
        Received {
            number: 3,
            headers: HeaderMap::new(),
            body: body.into(),
            signature,
        }
    }

    #[test]
    fn the_command_line_of_the_readme_parses() {
        let args = parse("receive --port 9001 --status 500 --delay 3s --fail-first 2 --hang").unwrap();
        assert_eq!(
            (args.port, args.status, args.fail_first, args.hang),
            (9001, 500, 2, true)
        );
        assert_eq!(args.delay, Duration::from_secs(3));
        let defaults = parse("receive").unwrap();
        assert_eq!(
            (defaults.host.as_str(), defaults.port, defaults.status),
            ("127.0.0.1", 9000, 200)
        );
        let secret = SigningSecret::from_random([5; 32]);
        let signed = parse(&format!("receive --secret {}", secret.reveal())).unwrap();
        assert_eq!(signed.secret, Some(secret));
    }

    #[test]
    fn bad_arguments_are_refused() {
        for line in [
            "receive --status 99",
            "receive --delay soon",
            "receive --secret abc",
            "receive --port 70000",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_event_is_one_readable_block() {
        let body = concat!(
            r#"{"id":"e-1","eventKey":"crm.deal.closed","tenantId":"w-1","actor":"ann","#,
            r#""payload":{"amount": 5000.00},"occurredAt":"2026-01-31T12:00:00.000Z"}"#,
        );
        let block = describe(&received(body, SignatureCheck::Valid), Some(200));
        let expected = "#3 crm.deal.closed\n  id         e-1\n  workspace  w-1\n  actor      ann\n  \
            occurred   2026-01-31T12:00:00.000Z\n  payload    {\"amount\": 5000.00}\n  signature  valid\n  \
            answer     200\n";
        assert_eq!(block, expected);
    }

    #[test]
    fn a_stranger_cannot_drive_the_terminal() {
        let block = describe(&received("\u{1b}[2Jhello", SignatureCheck::Missing), None);
        assert!(block.contains("body       \u{fffd}[2Jhello"), "{block}");
        assert!(block.contains("signature  MISSING"), "{block}");
    }

    #[test]
    fn a_bad_signature_stands_out() {
        let check = SignatureCheck::Invalid(SignatureError::Mismatch);
        assert!(describe(&received("{}", check), Some(200)).contains("INVALID: no signature matches"));
    }
}
