//! `PATCH /api/workspaces/{workspaceId}/extensions/{extensionId}`

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Deserializer};

use super::{
    checks,
    dto::{Headers, seal_headers},
};
use crate::http::{
    access::Caller,
    json::{self, JsonBody},
    problem::Problem,
    state::{AppState, Sealer},
    validate::{self, Checks},
};
use pointsman_domain::installation::{DeliveryType, InstallationChange, InstallationUpdate};

/// An absent or null field stays as it is; a null `rateLimit` removes the limit.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateExtensionDto {
    name: Option<String>,
    service_base_url: Option<String>,
    enabled: Option<bool>,
    paused: Option<bool>,
    /// Replaces all headers.
    headers: Option<Headers>,
    concurrency: Option<u32>,
    ordered: Option<bool>,
    /// Null removes the limit.
    #[serde(default, deserialize_with = "given")]
    rate_limit: Option<Option<u32>>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes an extension, for attempts that begin after this answer.
pub(super) async fn update(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: JsonBody<UpdateExtensionDto>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    let dto = body.read().await?;
    check_delivery_type(&dto, installation.delivery_type)?;
    let changed = match check(dto, installation.ordered, &state.sealer)? {
        Some(update) => {
            state
                .router
                .change_installation(workspace, installation.id, InstallationChange::Update(update))
                .await?
        }
        None => installation,
    };
    Ok(json::success_with(&state.extension_dto(changed)))
}

/// An in-process extension has no URL and no headers.
fn check_delivery_type(dto: &UpdateExtensionDto, delivery_type: DeliveryType) -> Result<(), Problem> {
    let mut checks = Checks::new();
    if delivery_type == DeliveryType::InProcess {
        if dto.service_base_url.is_some() {
            checks.check("serviceBaseUrl", Err::<(), _>(checks::EXTERNAL_ONLY));
        }
        if dto.headers.is_some() {
            checks.check("headers", Err::<(), _>(checks::EXTERNAL_ONLY));
        }
    }
    checks.finish()
}

/// The change; `None` where the body asks for none. `ordered` is the present setting.
fn check(
    dto: UpdateExtensionDto,
    ordered: bool,
    sealer: &Sealer,
) -> Result<Option<InstallationUpdate>, Problem> {
    let mut checks = Checks::new();
    if let Some(name) = &dto.name {
        checks.check("name", validate::name(name));
    }
    let url = dto.service_base_url.as_deref();
    let service_base_url = url.and_then(|url| checks.check("serviceBaseUrl", checks::service_base_url(url)));
    let headers = dto.headers.map(|sent| checks::headers(&sent, &mut checks));
    let concurrency = dto
        .concurrency
        .and_then(|limit| checks.check("concurrency", checks::concurrency(limit)));
    if concurrency.is_some_and(|limit| limit > 1) && dto.ordered.unwrap_or(ordered) {
        checks.check("concurrency", Err::<(), _>("must be 1 while ordered is true"));
    }
    if let Some(Some(limit)) = dto.rate_limit {
        checks.check("rateLimit", checks::rate_limit(limit));
    }
    checks.finish()?;
    let changes_something = dto.name.is_some()
        || service_base_url.is_some()
        || dto.enabled.is_some()
        || dto.paused.is_some()
        || headers.is_some()
        || concurrency.is_some()
        || dto.ordered.is_some()
        || dto.rate_limit.is_some();
    Ok(changes_something.then(|| InstallationUpdate {
        name: dto.name,
        service_base_url,
        enabled: dto.enabled,
        paused: dto.paused,
        headers: headers.map(|headers| seal_headers(&headers, sealer)),
        concurrency,
        ordered: dto.ordered,
        rate_limit: dto.rate_limit,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &str) -> Result<Option<InstallationUpdate>, Vec<String>> {
        checked_for(body, false)
    }

    fn checked_for(body: &str, ordered: bool) -> Result<Option<InstallationUpdate>, Vec<String>> {
        let sealer = Sealer::new(&[7; 64]);
        let dto = json::decode::<UpdateExtensionDto>(body.as_bytes());
        dto.and_then(|dto| check(dto, ordered, &sealer))
            .map_err(|problem| match problem {
                Problem::ValidationFailed(errors) => {
                    errors.into_iter().map(|error| error.field.into_owned()).collect()
                }
                problem => panic!("{body}: {problem}"),
            })
    }

    #[test]
    fn only_what_is_given_changes() {
        let update = checked(r#"{"paused":true,"serviceBaseUrl":"http://A:80/x"}"#)
            .unwrap()
            .unwrap();
        assert_eq!(update.paused, Some(true));
        assert_eq!(update.service_base_url.as_deref(), Some("http://a/x"));
        assert_eq!((update.name, update.enabled, update.headers), (None, None, None));
    }

    #[test]
    fn a_body_that_asks_for_nothing_changes_nothing() {
        for body in ["{}", r#"{"name":null,"ordered":null,"unknown":1}"#] {
            assert!(checked(body).unwrap().is_none(), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases: [(&str, &[&str]); 11] = [
            (r#"{"name":""}"#, &["name"]),
            (r#"{"serviceBaseUrl":"ftp://x"}"#, &["serviceBaseUrl"]),
            (r#"{"enabled":"yes"}"#, &["enabled"]),
            (r#"{"concurrency":0}"#, &["concurrency"]),
            (r#"{"concurrency":-1}"#, &["concurrency"]),
            (r#"{"headers":{"webhook-id":"x"}}"#, &["headers.webhook-id"]),
            (r#"{"ordered":1}"#, &["ordered"]),
            (r#"{"ordered":true,"concurrency":2}"#, &["concurrency"]),
            (r#"{"rateLimit":0,"paused":true}"#, &["rateLimit"]),
            (r#"{"rateLimit":100001}"#, &["rateLimit"]),
            (r#"{"rateLimit":"5"}"#, &["rateLimit"]),
        ];
        for (body, expected) in cases {
            assert_eq!(checked(body).unwrap_err(), expected, "{body}");
        }
    }

    #[test]
    fn a_rate_limit_is_set_by_a_number_and_taken_away_by_null() {
        for (body, expected) in [
            (r#"{"rateLimit":1}"#, Some(Some(1))),
            (r#"{"rateLimit":100000}"#, Some(Some(100_000))),
            (r#"{"rateLimit":null}"#, Some(None)),
            (r#"{"paused":true}"#, None),
        ] {
            assert_eq!(checked(body).unwrap().unwrap().rate_limit, expected, "{body}");
        }
    }

    #[test]
    fn more_than_one_at_a_time_needs_an_extension_that_is_not_ordered() {
        let more = r#"{"concurrency":2}"#;
        assert_eq!(checked_for(more, true).unwrap_err(), ["concurrency"]);
        for body in [
            r#"{"concurrency":1}"#,
            r#"{"concurrency":2,"ordered":false}"#,
            r#"{"ordered":true}"#,
        ] {
            assert!(checked_for(body, true).unwrap().is_some(), "{body}");
        }
        assert!(checked(more).unwrap().is_some());
    }
}
