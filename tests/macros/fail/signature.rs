use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

struct Crm;

#[extension(key = "crm")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    unsafe fn danger(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    extern "C" fn foreign(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn generic<T: serde::de::DeserializeOwned>(&self, _: T) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    fn lifetime<'a>(&'a self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**")]
    async fn silent(&self, _: EventContext) {}

    #[event_handler(event_key = "crm.**")]
    fn future(&self, _: EventContext) -> impl Future<Output = Result<(), HandlerError>> {
        async { Ok(()) }
    }

    #[event_handler(event_key = "crm.**")]
    fn größe(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
