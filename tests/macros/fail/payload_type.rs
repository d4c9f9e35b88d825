use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

struct Deal;

struct Crm;

#[extension(key = "crm")]
impl Crm {
    #[event_handler(event_key = "crm.deal.closed")]
    async fn own_type(&self, _: Deal) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.deal.closed")]
    fn nested(&self, _: Vec<Deal>, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
