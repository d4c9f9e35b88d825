use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

#[extension(key = "crm")]
struct Crm;

#[extension(key = "crm")]
impl Default for Crm {
    fn default() -> Self {
        Crm
    }
}

#[extension(key = "crm")]
impl Crm {
    fn helper(&self) {}
}

struct Borrowing<'a>(&'a str);

#[extension(key = "borrowing")]
impl<'a> Borrowing<'a> {
    #[event_handler(event_key = "crm.**")]
    fn named(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = "borrowing")]
impl Borrowing<'_> {
    #[event_handler(event_key = "crm.**")]
    fn elided(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
