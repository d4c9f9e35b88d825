use pointsman::extension::{EventContext, HandlerError, PlatformEvent, event_handler, extension};

struct Crm;

#[extension(key = "crm")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn no_self(_: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn by_value(self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn exclusive(&mut self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn shared(self: std::sync::Arc<Self>, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn nothing(&self) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn reversed(&self, cx: EventContext, event: PlatformEvent) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn two_payloads(&self, a: PlatformEvent, b: PlatformEvent) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn three(&self, a: PlatformEvent, cx: EventContext, c: u8) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn borrowed(&self, event: &PlatformEvent) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn borrowed_context(&self, event: PlatformEvent, cx: &EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn any(&self, event: impl serde::de::DeserializeOwned) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
