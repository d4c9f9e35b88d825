//! Starts the router of a test.

use std::{fmt, sync::Arc, time::Duration};

use super::{calls::Calls, folder::Folder, router::TestRouter};
use crate::server::RouterBuilder;
use pointsman_clock::{Clock, TurnedClock};
use pointsman_config::Config;
use pointsman_domain::{id::WorkspaceId, installation::NewInstallation};
use pointsman_extension::Extension;

/// Builds a [`TestRouter`] with several extensions, or with settings that differ from the defaults.
///
/// ```
/// use pointsman::{
///     extension::{EventContext, HandlerError, PlatformEvent, event_handler, extension},
///     testing::TestRouter,
/// };
/// use serde_json::json;
///
/// struct Shop;
///
/// #[extension(key = "shop")]
/// impl Shop {
///     #[event_handler(event_key = "order.placed")]
///     async fn placed(&self, cx: EventContext) -> Result<(), HandlerError> {
///         cx.publish("invoice.due", json!({})).await?;
///         Ok(())
///     }
/// }
///
/// struct Billing;
///
/// #[extension(key = "billing")]
/// impl Billing {
///     #[event_handler(event_key = "invoice.due")]
///     fn due(&self, _: PlatformEvent) -> Result<(), HandlerError> {
///         Ok(())
///     }
/// }
///
/// # actix_web::rt::System::new().block_on(async {
/// let test = TestRouter::builder()
///     .extension(Shop)
///     .extension(Billing)
///     .settings("[in_process]\nconcurrency = 1")
///     .start()
///     .await;
/// test.publish("order.placed", json!({})).await;
/// test.settled().await;
/// assert_eq!(test.handled_by("due").len(), 1);
/// test.stop().await;
/// # });
/// ```
#[derive(Default)]
pub struct TestRouterBuilder {
    extensions: Vec<Box<dyn FnOnce(RouterBuilder) -> RouterBuilder + Send>>,
    settings: String,
}

impl fmt::Debug for TestRouterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRouterBuilder")
            .field("extensions", &self.extensions.len())
            .field("settings", &self.settings)
            .finish()
    }
}

/// The longest that is allowed.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(4);

impl TestRouterBuilder {
    /// Registers an extension.
    #[must_use]
    pub fn extension(mut self, extension: impl Extension) -> Self {
        self.extensions
            .push(Box::new(|builder| builder.extension(extension)));
        self
    }

    /// Adds settings that differ from the defaults, in the form of a configuration file (TOML). Unless they say
    /// otherwise, an effect may take 4 s: a test must not depend on how busy its machine is.
    #[must_use]
    pub fn settings(mut self, toml: &str) -> Self {
        self.settings.push_str(toml);
        self.settings.push('\n');
        self
    }

    /// Starts the router and installs the extensions. Call it within an actix `System`.
    ///
    /// # Panics
    /// Where an extension cannot be registered, a setting is not allowed, or the router does not start.
    pub async fn start(self) -> TestRouter {
        let folder = Folder::make();
        let database = ("POINTSMAN__DATABASE__URL".to_owned(), folder.database_url());
        let config = Config::from_sources(Some(&self.settings), [database]);
        let mut config = config.unwrap_or_else(|error| panic!("the settings are not allowed: {error}"));
        if !self.settings.contains("effect_timeout") {
            config.in_process.effect_timeout = EFFECT_TIMEOUT;
        }
        let turned = TurnedClock::leaked();
        let clock = Clock::over(turned);
        let calls = Arc::<Calls>::default();
        let mut builder = RouterBuilder::new(config)
            .bare()
            .clock(clock)
            .watch(calls.watch());
        for extension in self.extensions {
            builder = extension(builder);
        }
        let router = builder.start().await;
        let router = router.unwrap_or_else(|error| panic!("the router does not start: {error}"));
        let mut test = TestRouter {
            router,
            workspace: WorkspaceId::new(clock.new_uuid()),
            installations: Vec::new(),
            calls,
            clock,
            turned,
            _folder: folder,
        };
        test.install_all().await;
        test
    }
}

impl TestRouter {
    /// A builder without extensions, with the default settings.
    pub fn builder() -> TestRouterBuilder {
        TestRouterBuilder::default()
    }

    /// Starts a router with this extension alone. Call it within an actix `System`.
    ///
    /// # Panics
    /// Where the extension cannot be registered, or the router does not start.
    pub async fn with(extension: impl Extension) -> Self {
        Self::builder().extension(extension).start().await
    }

    async fn install_all(&mut self) {
        for extension in self.router.extensions().all() {
            let new =
                NewInstallation::in_process(&extension.key, &extension.name, extension.patterns(), || {
                    self.clock.new_uuid()
                });
            self.installations.push(new.id);
            let installed = self.router.install(self.workspace, new).await;
            installed.unwrap_or_else(|error| panic!("{} cannot be installed: {error}", extension.key));
        }
    }
}
