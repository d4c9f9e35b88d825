//! What a host installs and changes.

/// How events reach an extension.
///
/// ```
/// use pointsman::server::router::DeliveryType;
///
/// assert_eq!(DeliveryType::ExternalService.as_str(), "EXTERNAL_SERVICE");
/// assert_eq!(DeliveryType::InProcess.as_str(), "IN_PROCESS");
/// ```
#[doc(inline)]
pub use pointsman_domain::installation::DeliveryType;

/// An extension to be installed.
///
/// ```
/// use std::time::Duration;
///
/// use pointsman::{
///     config::Config,
///     server::{
///         RouterBuilder,
///         router::{
///             Clock, DeliveryType, EventPattern, InstallationChange, InstallationId, InstallationUpdate,
///             NewInstallation, SubscriptionId, WorkspaceId,
///         },
///     },
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("pointsman-doc-installing-{}", std::process::id()));
/// # let file = format!("[server]\nport = 0\n[database]\nurl = \"sqlite://{}/test.db\"", folder.display());
/// let config = Config::from_sources(Some(&file), [])?;
/// # actix_web::rt::System::new().block_on(async {
/// let router = RouterBuilder::new(config).start().await?;
/// let workspace = WorkspaceId::new(Clock.new_uuid());
/// let chat = NewInstallation {
///     id: InstallationId::new(Clock.new_uuid()),
///     key: "chat".to_owned(),
///     name: "Chat".to_owned(),
///     delivery_type: DeliveryType::InProcess,
///     service_base_url: None,
///     signing_secret: String::new(),
///     headers: String::new(),
///     enabled: true,
///     subscriptions: vec![(SubscriptionId::new(Clock.new_uuid()), EventPattern::parse("platform.**")?)],
/// };
/// let installed = router.install(workspace, chat).await?;
/// let pause = InstallationUpdate { paused: Some(true), ..InstallationUpdate::default() };
/// let change = InstallationChange::Update(pause);
/// let paused = router.change_installation(workspace, installed.id, change).await?;
/// assert!(paused.paused && paused.revision > installed.revision);
/// router.stop(Duration::from_secs(30)).await;
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # })
/// # }
/// ```
#[doc(inline)]
pub use pointsman_domain::installation::NewInstallation;

/// An installed extension.
///
/// ```
/// use pointsman::server::router::Installation;
///
/// /// Why its deliveries wait, for an admin.
/// fn told(installation: &Installation) -> &'static str {
///     match installation {
///         Installation { available: false, .. } => "its code is not in this server",
///         Installation { enabled: false, .. } => "it is disabled",
///         Installation { paused: true, .. } => "it is paused",
///         _ => "they do not wait",
///     }
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::installation::Installation;

/// A change of an installation.
///
/// ```
/// use pointsman::server::router::{Clock, EventPattern, InstallationChange, SubscriptionId};
///
/// /// From the next event on, all orders are due to it.
/// fn orders() -> Option<InstallationChange> {
///     Some(InstallationChange::Subscribe {
///         subscription_id: SubscriptionId::new(Clock.new_uuid()),
///         pattern: EventPattern::parse("order.**").ok()?,
///     })
/// }
/// assert!(orders().is_some());
/// ```
#[doc(inline)]
pub use pointsman_domain::installation::InstallationChange;

/// What is set of an installation.
///
/// ```
/// use pointsman::server::router::{InstallationChange, InstallationUpdate};
///
/// let gently = InstallationUpdate {
///     concurrency: Some(1),
///     rate_limit: Some(Some(10)), // attempts per second
///     ..InstallationUpdate::default()
/// };
/// assert!(gently.name.is_none(), "what is not named stays");
/// let change = InstallationChange::Update(gently);
/// # let _ = change;
/// ```
#[doc(inline)]
pub use pointsman_domain::installation::InstallationUpdate;

/// Which events a subscription takes.
///
/// ```
/// use pointsman::server::router::{EventKey, EventPattern};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let closed = EventKey::parse("crm.deal.closed")?;
/// assert!(EventPattern::parse("crm.**")?.matches(&closed));
/// assert!(!EventPattern::parse("crm.*")?.matches(&closed), "it stands for one word");
/// # Ok(())
/// # }
/// ```
#[doc(inline)]
pub use pointsman_domain::event_pattern::EventPattern;

/// The id of a subscription.
///
/// ```
/// use pointsman::server::router::{InstallationChange, SubscriptionId};
///
/// fn ended(subscription_id: SubscriptionId) -> InstallationChange {
///     InstallationChange::Unsubscribe { subscription_id }
/// }
/// ```
#[doc(inline)]
pub use pointsman_domain::id::SubscriptionId;
