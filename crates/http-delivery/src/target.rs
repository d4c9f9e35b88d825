//! Where an installation's deliveries go, and what all of them carry.

use awc::http::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use url::Url;

use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, Verdict},
    signing::SigningKeys,
};

/// The part of a delivery that is the same for every event. Made once per change of the installation.
#[derive(Clone, Debug)]
pub struct DeliveryTarget {
    /// `{base}/events`
    pub(crate) url: Uri,
    /// As `awc` gets it: always `http`, since the connector does what TLS there is, and with the port.
    pub(super) dial: Uri,
    /// Whether the connector speaks TLS.
    pub(super) secure: bool,
    /// The value of `Host`, prepared because `awc` leaves out port 80 and 443 whatever the scheme.
    pub(crate) host: HeaderValue,
    pub(crate) keys: SigningKeys,
    /// The installation's own headers; none of them is reserved.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why an installation cannot be called as it is configured. Shows no header value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("the service base URL is not a URL: {0}")]
    BaseUrl(String),
    #[error("the service base URL must be http or https, without credentials and fragment")]
    UnfitBaseUrl,
    #[error("the header name {0:?} is not valid")]
    HeaderName(String),
    #[error("the value of the header {0} is not valid")]
    HeaderValue(String),
    #[error("the header {0} is set by Pointsman itself")]
    ReservedHeader(String),
}

/// Set by Pointsman or by HTTP itself on every delivery, so that no installation may set them.
const RESERVED: [&str; 20] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "pointsman-causation-id",
    "pointsman-correlation-id",
    "proxy-connection",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Whether an installation may not set this header, in whatever case it is written.
pub fn is_reserved_header(name: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
}

impl DeliveryTarget {
    /// A trailing slash on the base makes no difference. The API refuses a base with a query.
    ///
    /// # Errors
    /// When the URL or one of the headers cannot be used. Such an installation's attempts end as
    /// [`TargetError::attempt_result`].
    pub fn new<'a>(
        service_base_url: &str,
        keys: SigningKeys,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, TargetError> {
        let url = events_url(service_base_url)?;
        let host = host_header(&url)?;
        let (dial, secure) = (dial_url(&url)?, url.scheme() == "https");
        let uri = parse_uri(url.as_str())?;
        let headers = headers.into_iter().map(parse_header).collect::<Result<_, _>>()?;
        Ok(Self {
            url: uri,
            dial,
            secure,
            host,
            keys,
            headers,
        })
    }

    /// Where the events go: `{base}/events`.
    pub const fn url(&self) -> &Uri {
        &self.url
    }
}

impl TargetError {
    /// The result of an attempt that could not be started. It is retried, since an admin may mend the
    /// configuration meanwhile.
    pub fn attempt_result(&self) -> AttemptResult {
        AttemptResult {
            outcome: AttemptOutcome::Misconfigured,
            verdict: Verdict::Retry { retry_after: None },
            http_status: None,
            duration: std::time::Duration::ZERO,
            error: Some(self.to_string()),
            response: None,
            disable: false,
            retry_schedule: None,
        }
    }
}

fn events_url(base: &str) -> Result<Url, TargetError> {
    let mut url = Url::parse(base).map_err(|error| TargetError::BaseUrl(error.to_string()))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(TargetError::UnfitBaseUrl);
    }
    url.path_segments_mut()
        .map_err(|()| TargetError::UnfitBaseUrl)?
        .pop_if_empty()
        .push("events");
    Ok(url)
}

fn dial_url(url: &Url) -> Result<Uri, TargetError> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(TargetError::UnfitBaseUrl);
    };
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    parse_uri(&format!("http://{host}:{port}{}{query}", url.path()))
}

fn parse_uri(text: &str) -> Result<Uri, TargetError> {
    Uri::try_from(text).map_err(|error| TargetError::BaseUrl(error.to_string()))
}

fn host_header(url: &Url) -> Result<HeaderValue, TargetError> {
    // `Url` itself drops a port that is the scheme's default.
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(TargetError::UnfitBaseUrl),
    };
    HeaderValue::try_from(host).map_err(|error| TargetError::BaseUrl(error.to_string()))
}

fn parse_header((name, value): (&str, &str)) -> Result<(HeaderName, HeaderValue), TargetError> {
    if is_reserved_header(name) {
        return Err(TargetError::ReservedHeader(name.to_owned()));
    }
    let parsed = HeaderName::try_from(name).map_err(|_| TargetError::HeaderName(name.to_owned()))?;
    let value = HeaderValue::try_from(value).map_err(|_| TargetError::HeaderValue(name.to_owned()))?;
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_domain::signing::SigningSecret;

    fn target(base: &str) -> Result<DeliveryTarget, TargetError> {
        with_header(base, "x-tenant", "blue")
    }

    fn with_header(base: &str, name: &str, value: &str) -> Result<DeliveryTarget, TargetError> {
        let keys = SigningKeys::new(&SigningSecret::from_random([3; 32]), None);
        DeliveryTarget::new(base, keys, [(name, value)])
    }

    #[test]
    fn a_trailing_slash_on_the_base_makes_no_difference() {
        for (base, expected) in [
            ("http://crm.example", "http://crm.example/events"),
            ("http://crm.example/", "http://crm.example/events"),
            (
                "https://crm.example/hooks/v1",
                "https://crm.example/hooks/v1/events",
            ),
            (
                "https://crm.example/hooks/v1/",
                "https://crm.example/hooks/v1/events",
            ),
            (
                "https://crm.example/hooks/?key=1",
                "https://crm.example/hooks/events?key=1",
            ),
            ("http://[::1]:9000", "http://[::1]:9000/events"),
        ] {
            assert_eq!(target(base).unwrap().url.to_string(), expected);
        }
    }

    #[test]
    fn the_url_to_dial_names_the_port_of_the_scheme() {
        for (base, expected, secure) in [
            ("http://crm.example/a", "http://crm.example:80/a/events", false),
            (
                "https://crm.example/?k=1",
                "http://crm.example:443/events?k=1",
                true,
            ),
            ("https://[::1]:9000", "http://[::1]:9000/events", true),
        ] {
            let target = target(base).unwrap();
            assert_eq!(
                (target.dial.to_string().as_str(), target.secure),
                (expected, secure)
            );
        }
    }

    #[test]
    fn the_host_header_names_the_port_unless_it_is_the_default_of_the_scheme() {
        for (base, expected) in [
            ("http://crm.example:80", "crm.example"),
            ("http://crm.example:443", "crm.example:443"),
            ("https://crm.example:443", "crm.example"),
            ("http://[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(target(base).unwrap().host, expected);
        }
    }

    #[test]
    fn unfit_urls_are_refused() {
        for base in [
            "ftp://crm.example",
            "http://user@crm.example",
            "http://:pw@crm.example",
            "http://crm.example/#a",
        ] {
            assert_eq!(target(base).unwrap_err(), TargetError::UnfitBaseUrl, "{base}");
        }
        assert!(matches!(target("crm.example"), Err(TargetError::BaseUrl(_))));
        assert!(matches!(target("http://"), Err(TargetError::BaseUrl(_))));
    }

    #[test]
    fn reserved_and_malformed_headers_are_refused() {
        let base = "http://crm.example";
        for name in ["Webhook-Id", "CONTENT-TYPE", "host", "traceparent"] {
            assert_eq!(
                with_header(base, name, "x").unwrap_err(),
                TargetError::ReservedHeader(name.to_owned())
            );
        }
        assert_eq!(
            with_header(base, "a b", "x").unwrap_err(),
            TargetError::HeaderName("a b".to_owned())
        );
        let error = with_header(base, "authorization", "secret\r\nx: y").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the value of the header authorization is not valid"
        );
    }
}
