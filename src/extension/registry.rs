//! The extensions of a process.

/// The registered extensions of a process, by key.
///
/// ```
/// use std::sync::Arc;
///
/// use pointsman::extension::{Extensions, HandlerError, PlatformEvent, event_handler, extension};
///
/// struct Audit;
///
/// #[extension(key = "audit", name = "Audit")]
/// impl Audit {
///     #[event_handler(event_key = "order.**")]
///     fn order(&self, _: PlatformEvent) -> Result<(), HandlerError> {
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut extensions = Extensions::default();
/// extensions.register(Arc::new(Audit))?;
/// assert!(extensions.get("audit").is_some());
/// assert_eq!(extensions.all().count(), 1);
/// # Ok(())
/// # }
/// ```
#[doc(inline)]
pub use pointsman_extension::Extensions;

/// A registered extension.
///
/// ```
/// # use pointsman::{
/// #     extension::{HandlerError, PlatformEvent, event_handler, extension},
/// #     testing::TestRouter,
/// # };
/// # struct Audit;
/// # #[extension(key = "audit", name = "Audit")]
/// # impl Audit {
/// #     #[event_handler(event_key = "order.**")]
/// #     fn order(&self, _: PlatformEvent) -> Result<(), HandlerError> {
/// #         Ok(())
/// #     }
/// # }
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::with(Audit).await;
/// let audit = test.router().extensions().get("audit").expect("it is registered");
/// assert_eq!(audit.name, "Audit");
/// assert_eq!(audit.handlers[0].name(), "order");
/// assert_eq!(audit.patterns().first().map(|pattern| pattern.as_str()), Some("order.**"));
/// # test.stop().await;
/// # });
/// ```
#[doc(inline)]
pub use pointsman_extension::Registered;

/// Why an extension cannot be registered.
///
/// ```
/// use std::sync::Arc;
///
/// use pointsman::extension::{ActorExtension, Extensions, RegistrationError};
///
/// let empty = ActorExtension::new("ledger", "Ledger");
/// let refused = Extensions::default().register(Arc::new(empty));
/// assert_eq!(refused, Err(RegistrationError::NoHandlers("ledger".to_owned())));
/// ```
#[doc(inline)]
pub use pointsman_extension::RegistrationError;
