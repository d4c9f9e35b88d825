//! `POST /api/workspaces/{workspaceId}/extensions`

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::{
    checks,
    dto::{ExtensionDto, Headers, seal_headers},
};
use crate::{
    auth::entropy,
    domain::{
        id::InstallationId,
        installation::{DeliveryType, NewInstallation, check_key},
        signing::SigningSecret,
    },
    http::{
        access::Caller,
        json::{self, JsonBody},
        problem::Problem,
        state::AppState,
        validate::{self, Checks},
    },
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstallExtensionDto {
    key: String,
    name: String,
    delivery_type: DeliveryType,
    service_base_url: Option<String>,
    enabled: Option<bool>,
    headers: Option<Headers>,
}

/// The extension with its signing secret, which is shown this once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InstalledDto {
    #[serde(flatten)]
    extension: ExtensionDto,
    signing_secret: String,
}

/// What was asked for, checked.
#[derive(Debug)]
struct Wanted {
    service_base_url: String,
    headers: Headers,
}

/// Installs an extension. It gets the events that it subscribes to from then on; an installation with the
/// same key that is still installed is a conflict.
pub(super) async fn install(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    body: JsonBody<InstallExtensionDto>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let dto = body.read().await?;
    let wanted = check(&dto)?;
    let secret = SigningSecret::from_random(entropy::bytes());
    let new = NewInstallation {
        id: InstallationId::new(state.clock.new_uuid()),
        key: dto.key,
        name: dto.name,
        delivery_type: dto.delivery_type,
        service_base_url: Some(wanted.service_base_url),
        signing_secret: state.sealer.seal(&secret.reveal()),
        headers: seal_headers(&wanted.headers, &state.sealer),
        enabled: dto.enabled.unwrap_or(true),
    };
    let installed = state.router.install(workspace, new).await?;
    Ok(json::created(&InstalledDto {
        extension: ExtensionDto::of(installed.into(), &state.sealer)?,
        signing_secret: secret.reveal(),
    }))
}

fn check(dto: &InstallExtensionDto) -> Result<Wanted, Problem> {
    let mut checks = Checks::new();
    checks.check("key", check_key(&dto.key));
    checks.check("name", validate::name(&dto.name));
    let service_base_url = match dto.delivery_type {
        DeliveryType::ExternalService => {
            let url = dto.service_base_url.as_deref();
            let url = url.ok_or("is required for an EXTERNAL_SERVICE");
            checks.check("serviceBaseUrl", url.and_then(checks::service_base_url))
        }
        DeliveryType::InProcess => {
            let none = "no in-process extension is registered in this server; use EXTERNAL_SERVICE";
            checks.check("deliveryType", Err(none))
        }
    };
    let headers = match &dto.headers {
        Some(sent) => checks::headers(sent, &mut checks),
        None => Headers::new(),
    };
    checks.finish()?;
    Ok(Wanted {
        service_base_url: service_base_url.unwrap_or_default(),
        headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_fields(body: &str) -> Vec<String> {
        match json::decode::<InstallExtensionDto>(body.as_bytes()).and_then(|dto| check(&dto)) {
            Ok(_) => Vec::new(),
            Err(Problem::ValidationFailed(errors)) => {
                errors.into_iter().map(|error| error.field.into_owned()).collect()
            }
            Err(problem) => panic!("{body}: {problem}"),
        }
    }

    #[test]
    fn what_is_wrong_is_named_field_by_field() {
        let cases: [(&str, &[&str]); 9] = [
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"http://localhost:9000"}"#,
                &[],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"https://a.b","enabled":false,"headers":{"X-A":"b"}}"#,
                &[],
            ),
            (r#"{"name":"CRM","deliveryType":"EXTERNAL_SERVICE"}"#, &["key"]),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE"}"#,
                &["serviceBaseUrl"],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":null}"#,
                &["serviceBaseUrl"],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"IN_PROCESS"}"#,
                &["deliveryType"],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"CARRIER_PIGEON"}"#,
                &["deliveryType"],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"http://a.b","headers":{"x":7}}"#,
                &["headers.x"],
            ),
            (
                r#"{"key":"C","name":"","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"x","headers":{"Host":"x"}}"#,
                &["key", "name", "serviceBaseUrl", "headers.Host"],
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(broken_fields(body), expected, "{body}");
        }
    }
}
