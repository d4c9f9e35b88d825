//! `PATCH /api/workspaces/{workspaceId}/extensions/{extensionId}`

use actix_web::{HttpResponse, web};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    checks,
    dto::{ExtensionDto, Headers, seal_headers},
};
use crate::{
    domain::installation::{InstallationChange, InstallationUpdate},
    http::{
        access::Caller,
        json::{self, JsonBody},
        problem::Problem,
        state::{AppState, Sealer},
        validate::{self, Checks},
    },
};

/// What is absent or null stays as it is.
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
    ordered: Option<IgnoredAny>,
    rate_limit: Option<IgnoredAny>,
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
    let changed = match check(body.read().await?, &state.sealer)? {
        Some(update) => state
            .router
            .change_installation(workspace, installation.id, InstallationChange::Update(update))
            .await?
            .into(),
        None => installation,
    };
    Ok(json::success_with(&ExtensionDto::of(changed, &state.sealer)?))
}

/// The change; nothing where the body asks for none.
fn check(dto: UpdateExtensionDto, sealer: &Sealer) -> Result<Option<InstallationUpdate>, Problem> {
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
    for (field, given) in [
        ("ordered", dto.ordered.is_some()),
        ("rateLimit", dto.rate_limit.is_some()),
    ] {
        if given {
            checks.check(field, Err::<(), _>("cannot be set in this version of the server"));
        }
    }
    checks.finish()?;
    let changes_something = dto.name.is_some()
        || service_base_url.is_some()
        || dto.enabled.is_some()
        || dto.paused.is_some()
        || headers.is_some()
        || concurrency.is_some();
    Ok(changes_something.then(|| InstallationUpdate {
        name: dto.name,
        service_base_url,
        enabled: dto.enabled,
        paused: dto.paused,
        headers: headers.map(|headers| seal_headers(&headers, sealer)),
        concurrency,
        ordered: None,
        rate_limit: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &str) -> Result<Option<InstallationUpdate>, Vec<String>> {
        let sealer = Sealer::new(&[7; 64]);
        let dto = json::decode::<UpdateExtensionDto>(body.as_bytes());
        dto.and_then(|dto| check(dto, &sealer))
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
        let cases: [(&str, &[&str]); 8] = [
            (r#"{"name":""}"#, &["name"]),
            (r#"{"serviceBaseUrl":"ftp://x"}"#, &["serviceBaseUrl"]),
            (r#"{"enabled":"yes"}"#, &["enabled"]),
            (r#"{"concurrency":0}"#, &["concurrency"]),
            (r#"{"concurrency":-1}"#, &["concurrency"]),
            (r#"{"headers":{"webhook-id":"x"}}"#, &["headers.webhook-id"]),
            (r#"{"ordered":true}"#, &["ordered"]),
            (r#"{"rateLimit":5,"paused":true}"#, &["rateLimit"]),
        ];
        for (body, expected) in cases {
            assert_eq!(checked(body).unwrap_err(), expected, "{body}");
        }
    }
}
