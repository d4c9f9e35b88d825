use pointsman::extension::{HandlerError, event_handler, extension};

struct EventContext;

struct Crm;

#[extension(key = "crm")]
impl Crm {
    #[event_handler(event_key = "crm.deal.closed")]
    async fn handler(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
