//! `POST /api/workspaces/{workspaceId}/extensions`

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::{
    checks,
    dto::{ExtensionDto, Headers, seal_headers},
};
use crate::http::{
    access::Caller,
    json::{self, JsonBody},
    problem::Problem,
    state::AppState,
    validate::{self, Checks},
};
use pointsman_auth::entropy;
use pointsman_domain::{
    id::InstallationId,
    installation::{DeliveryType, NewInstallation, check_key},
    signing::SigningSecret,
};
use pointsman_extension::{Extensions, Registered};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstallExtensionDto {
    key: String,
    /// Optional for an in-process extension: by default the name in its code.
    name: Option<String>,
    delivery_type: DeliveryType,
    service_base_url: Option<String>,
    enabled: Option<bool>,
    headers: Option<Headers>,
}

/// The extension with its signing secret, where it has one, which is shown this once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InstalledDto {
    #[serde(flatten)]
    extension: ExtensionDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
}

/// How events are to reach it, checked.
#[derive(Debug)]
enum Wanted {
    External {
        service_base_url: String,
        headers: Headers,
    },
    InProcess(Arc<Registered>),
}

/// Installs an extension. It gets events from its subscriptions on; an in-process extension is subscribed to the keys
/// of its handlers at once. A key that is installed already is a conflict.
pub(super) async fn install(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    body: JsonBody<InstallExtensionDto>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let dto = body.read().await?;
    let (new, secret) = match check(&dto, state.router.extensions())? {
        Wanted::External {
            service_base_url,
            headers,
        } => external(dto, service_base_url, &headers, &state),
        Wanted::InProcess(extension) => (in_process(dto, &extension, &state), None),
    };
    let installed = state.router.install(workspace, new).await?;
    Ok(json::created(&InstalledDto {
        extension: state.extension_dto(installed),
        signing_secret: secret,
    }))
}

/// The installation and its secret.
fn external(
    dto: InstallExtensionDto,
    service_base_url: String,
    headers: &Headers,
    state: &AppState,
) -> (NewInstallation, Option<String>) {
    let secret = SigningSecret::from_random(entropy::bytes()).reveal();
    let new = NewInstallation {
        id: InstallationId::new(state.clock.new_uuid()),
        key: dto.key,
        name: dto.name.unwrap_or_default(),
        delivery_type: DeliveryType::ExternalService,
        service_base_url: Some(service_base_url),
        signing_secret: state.sealer.seal(&secret),
        headers: seal_headers(headers, &state.sealer),
        enabled: dto.enabled.unwrap_or(true),
        subscriptions: Vec::new(),
    };
    (new, Some(secret))
}

fn in_process(dto: InstallExtensionDto, extension: &Registered, state: &AppState) -> NewInstallation {
    NewInstallation {
        name: dto.name.unwrap_or_else(|| extension.name.clone()),
        enabled: dto.enabled.unwrap_or(true),
        ..NewInstallation::in_process(&extension.key, &extension.name, extension.patterns(), || {
            state.clock.new_uuid()
        })
    }
}

fn check(dto: &InstallExtensionDto, registered: &Extensions) -> Result<Wanted, Problem> {
    let mut checks = Checks::new();
    checks.check("key", check_key(&dto.key));
    if let Some(name) = &dto.name {
        checks.check("name", validate::name(name));
    }
    let wanted = match dto.delivery_type {
        DeliveryType::ExternalService => check_external(dto, &mut checks),
        DeliveryType::InProcess => check_in_process(dto, registered, &mut checks),
    };
    checks.finish()?;
    // What is missing was refused above.
    wanted.ok_or_else(|| Problem::validation("deliveryType", "cannot be installed"))
}

fn check_external(dto: &InstallExtensionDto, checks: &mut Checks) -> Option<Wanted> {
    if dto.name.is_none() {
        checks.check("name", Err::<(), _>("is required for an EXTERNAL_SERVICE"));
    }
    let url = dto.service_base_url.as_deref();
    let url = url.ok_or("is required for an EXTERNAL_SERVICE");
    let service_base_url = checks.check("serviceBaseUrl", url.and_then(checks::service_base_url));
    let headers = match &dto.headers {
        Some(sent) => checks::headers(sent, checks),
        None => Headers::new(),
    };
    Some(Wanted::External {
        service_base_url: service_base_url?,
        headers,
    })
}

fn check_in_process(
    dto: &InstallExtensionDto,
    registered: &Extensions,
    checks: &mut Checks,
) -> Option<Wanted> {
    if dto.service_base_url.is_some() {
        checks.check("serviceBaseUrl", Err::<(), _>(checks::EXTERNAL_ONLY));
    }
    if dto.headers.is_some() {
        checks.check("headers", Err::<(), _>(checks::EXTERNAL_ONLY));
    }
    let Some(extension) = registered.get(&dto.key) else {
        // What is wrong with the key itself is said already.
        if check_key(&dto.key).is_ok() {
            checks.check("key", Err::<(), _>(not_registered(registered)));
        }
        return None;
    };
    Some(Wanted::InProcess(Arc::clone(extension)))
}

fn not_registered(registered: &Extensions) -> String {
    let keys: Vec<&str> = registered.all().map(|extension| extension.key.as_str()).collect();
    if keys.is_empty() {
        return "no in-process extension is registered in this server; use EXTERNAL_SERVICE".to_owned();
    }
    format!(
        "names no in-process extension of this server; it has {}",
        keys.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_fields(body: &str) -> Vec<String> {
        match json::decode::<InstallExtensionDto>(body.as_bytes())
            .and_then(|dto| check(&dto, &Extensions::default()))
        {
            Ok(_) => Vec::new(),
            Err(Problem::ValidationFailed(errors)) => {
                errors.into_iter().map(|error| error.field.into_owned()).collect()
            }
            Err(problem) => panic!("{body}: {problem}"),
        }
    }

    #[test]
    fn what_is_wrong_is_named_field_by_field() {
        let cases: [(&str, &[&str]); 11] = [
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"http://a.b"}"#,
                &[],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"https://a.b",
                   "enabled":false,"headers":{"X-A":"b"}}"#,
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
                &["key"],
            ),
            (
                r#"{"key":"crm","deliveryType":"IN_PROCESS","serviceBaseUrl":"http://a.b","headers":{}}"#,
                &["serviceBaseUrl", "headers", "key"],
            ),
            (
                r#"{"key":"crm","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"http://a.b"}"#,
                &["name"],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"CARRIER_PIGEON"}"#,
                &["deliveryType"],
            ),
            (
                r#"{"key":"crm","name":"CRM","deliveryType":"EXTERNAL_SERVICE","serviceBaseUrl":"http://a.b",
                   "headers":{"x":7}}"#,
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
