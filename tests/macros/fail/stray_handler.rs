use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

struct Crm;

impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn in_a_plain_block(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[event_handler(event_key = "crm.**")]
fn alone(_: EventContext) -> Result<(), HandlerError> {
    Ok(())
}

#[extension(key = "crm")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    const KEY: &'static str = "crm.**";

    #[event_handler(event_key = "crm.**")]
    fn handler(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
