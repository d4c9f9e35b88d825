//! Rules for the settings of an extension.

use actix_web::http::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use url::Url;

use super::dto::Headers;
use crate::http::validate::Checks;
use pointsman_http_delivery::is_reserved_header;

/// The error for a URL or headers of an extension that is not called over HTTP.
pub(super) const EXTERNAL_ONLY: &str = "is for an EXTERNAL_SERVICE only";

const MAX_URL_BYTES: usize = 2048;
const MAX_HEADERS: usize = 20;
const MAX_HEADER_NAME_BYTES: usize = 128;
const MAX_HEADER_VALUE_BYTES: usize = 4096;
const MAX_CONCURRENCY: u32 = 256;
const MAX_RATE_LIMIT: u32 = 100_000;

/// Where an external service is: an absolute http or https URL to which `/events` can be appended. It comes
/// back normalised (lower-case host, no default port, no dot segments), with the trailing slash it had.
pub(super) fn service_base_url(text: &str) -> Result<String, &'static str> {
    if text.len() > MAX_URL_BYTES {
        return Err("must be at most 2048 bytes long");
    }
    // The URL standard repairs many mistakes silently; here the admin is told of them instead.
    let has_scheme = |scheme: &str| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !has_scheme("http://") && !has_scheme("https://") {
        return Err("must begin with http:// or https://");
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("must not contain white space, control characters or backslashes");
    }
    if text.contains("///") {
        return Err("must have a host");
    }
    let url = Url::parse(text).map_err(|_| "must be a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain credentials; send them as headers");
    }
    if url.fragment().is_some() || url.query().is_some() {
        return Err("must not have a query or a fragment");
    }
    if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
        return Err("must have a host and, where it has a port, one from 1 to 65535");
    }
    let mut normal = String::from(url);
    if !text.ends_with('/') && normal.ends_with('/') {
        normal.pop();
    }
    let sendable = normal.len() <= MAX_URL_BYTES && format!("{normal}/events").parse::<Uri>().is_ok();
    sendable
        .then_some(normal)
        .ok_or("must be a URL of at most 2048 bytes that fits into a request line")
}

/// Checks each header and records errors under its name; returns the headers with lower-case names.
pub(super) fn headers(sent: &Headers, checks: &mut Checks) -> Headers {
    if sent.len() > MAX_HEADERS {
        checks.check("headers", Err::<(), _>("must be at most 20"));
    }
    let mut headers = Headers::new();
    for (name, value) in sent.iter().take(MAX_HEADERS) {
        let Some(lower) = lower_name(name) else {
            checks.check(
                "headers",
                Err::<(), _>("must have header names of at most 128 bytes"),
            );
            continue;
        };
        let field = format!("headers.{name}");
        checks.check(field.clone(), not_reserved(&lower).and_then(|()| sendable(value)));
        if headers.insert(lower, value.clone()).is_some() {
            let twice = "is given twice; upper and lower case are the same";
            checks.check(field, Err::<(), _>(twice));
        }
    }
    headers
}

/// Refused in addition to the headers that a delivery sets itself: they concern a single hop, or would make the service
/// compress its answer, which is not decompressed here.
const REFUSED: &[&str] = &["accept-encoding", "proxy-authenticate", "proxy-authorization"];

fn lower_name(name: &str) -> Option<String> {
    let short = name.len() <= MAX_HEADER_NAME_BYTES;
    let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| short)?;
    Some(name.as_str().to_owned())
}

fn not_reserved(name: &str) -> Result<(), &'static str> {
    let is_ours = ["webhook-", "pointsman-"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    if is_ours || is_reserved_header(name) || REFUSED.contains(&name) {
        return Err("is set by the delivery itself");
    }
    Ok(())
}

fn sendable(value: &str) -> Result<(), &'static str> {
    if value.len() > MAX_HEADER_VALUE_BYTES {
        return Err("must be at most 4096 bytes long");
    }
    let plain = value.is_ascii() && HeaderValue::from_str(value).is_ok();
    plain
        .then_some(())
        .ok_or("must be visible ASCII characters, spaces and tabs")
}

/// How many deliveries may be in flight at once.
pub(super) fn concurrency(limit: u32) -> Result<u32, &'static str> {
    (1..=MAX_CONCURRENCY)
        .contains(&limit)
        .then_some(limit)
        .ok_or("must be from 1 to 256")
}

/// How many attempts may begin in a second.
pub(super) fn rate_limit(limit: u32) -> Result<(), &'static str> {
    (1..=MAX_RATE_LIMIT)
        .contains(&limit)
        .then_some(())
        .ok_or("must be from 1 to 100000, or null for no limit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Problem;

    #[test]
    fn a_base_url_is_kept_as_it_was_written_as_far_as_it_was_normal() {
        for (sent, kept) in [
            ("http://localhost:9000", "http://localhost:9000"),
            ("http://localhost:9000/", "http://localhost:9000/"),
            ("HTTPS://Example.COM:443/a/../b", "https://example.com/b"),
            ("https://example.com/hooks/", "https://example.com/hooks/"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("http://127.1/x", "http://127.0.0.1/x"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(service_base_url(sent).as_deref(), Ok(kept), "{sent}");
        }
    }

    #[test]
    fn a_base_url_that_cannot_be_called_is_refused() {
        let long = format!("http://example.com/{}", "a".repeat(2048));
        for bad in [
            "",
            "localhost:9000",
            "ftp://example.com",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http:example.com",
            "http://",
            "http:///events",
            "http://user@example.com",
            "http://user:secret@example.com",
            "http://:secret@example.com",
            "http://example.com/#part",
            "http://example.com/#",
            "http://example.com/?a=1",
            "http://example.com?",
            "http://example.com:0",
            "http://example.com:65536",
            "http://exa mple.com",
            "http://example.com/a\nb",
            " http://example.com",
            "http://example.com\\path",
            "http://[::1",
            &long,
        ] {
            assert!(service_base_url(bad).is_err(), "{bad}");
        }
    }

    fn checked(sent: &[(&str, &str)]) -> Result<Headers, Vec<String>> {
        let sent = sent
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let mut checks = Checks::new();
        let headers = headers(&sent, &mut checks);
        match checks.finish() {
            Ok(()) => Ok(headers),
            Err(Problem::ValidationFailed(errors)) => {
                Err(errors.into_iter().map(|error| error.field.into_owned()).collect())
            }
            Err(problem) => panic!("{problem}"),
        }
    }

    #[test]
    fn headers_come_back_with_lower_case_names() {
        let headers = checked(&[("X-Api-Key", "s3cret"), ("authorization", "Bearer x y")]).unwrap();
        let names: Vec<_> = headers.keys().map(String::as_str).collect();
        assert_eq!(names, ["authorization", "x-api-key"]);
    }

    #[test]
    fn headers_that_are_not_the_admins_to_set_are_refused() {
        let ours = [
            "Host",
            "date",
            "connection",
            "Webhook-Signature",
            "webhook-x",
            "Pointsman-Correlation-Id",
            "pointsman-x",
        ];
        for name in REFUSED.iter().chain(&ours) {
            assert_eq!(checked(&[(name, "x")]).unwrap_err(), [format!("headers.{name}")]);
        }
    }

    #[test]
    fn headers_that_cannot_be_sent_are_refused() {
        let long = "x".repeat(4097);
        for (name, value, field) in [
            ("", "x", "headers"),
            ("a b", "x", "headers"),
            ("ä", "x", "headers"),
            (&*"n".repeat(129), "x", "headers"),
            ("x-a", "line\r\nbreak", "headers.x-a"),
            ("x-a", "ä", "headers.x-a"),
            ("x-a", &*long, "headers.x-a"),
        ] {
            assert_eq!(checked(&[(name, value)]).unwrap_err(), [field], "{name}");
        }
        assert_eq!(
            checked(&[("X-A", "1"), ("x-a", "2")]).unwrap_err(),
            ["headers.x-a"]
        );
        let names: Vec<String> = (0..21).map(|n| format!("x-{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
        assert_eq!(checked(&many).unwrap_err(), ["headers"]);
    }

    #[test]
    fn concurrency_has_bounds() {
        assert_eq!((concurrency(1), concurrency(256)), (Ok(1), Ok(256)));
        assert!(concurrency(0).is_err() && concurrency(257).is_err());
    }
}
