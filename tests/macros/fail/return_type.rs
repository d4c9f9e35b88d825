use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

struct NoError;

struct Crm;

#[extension(key = "crm")]
impl Crm {
    #[event_handler(event_key = "crm.deal.closed")]
    async fn no_result(&self, _: EventContext) -> u32 {
        0
    }

    #[event_handler(event_key = "crm.deal.closed")]
    fn no_outcome(&self, _: EventContext) -> Result<u32, HandlerError> {
        Ok(0)
    }

    #[event_handler(event_key = "crm.deal.closed")]
    fn no_error(&self, _: EventContext) -> Result<(), NoError> {
        Ok(())
    }
}

fn main() {}
