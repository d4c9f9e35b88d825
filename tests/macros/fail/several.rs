//! One build shows every error.

use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

struct Crm;

#[extension(kee = "crm")]
impl Crm {
    #[event_handler(event_key = "crm", async = 1)]
    unsafe fn much(&mut self, _: u8, _: u8) {}

    #[event_handler(event_key = "crm.**")]
    fn fine(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {
    // What is wrong with the handlers hides no method.
    let _ = Crm::fine;
}
