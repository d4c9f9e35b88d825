use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

struct Crm;

#[extension(key = "crm")]
impl Crm {
    #[event_handler]
    fn missing(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler()]
    fn empty(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler = "crm.**"]
    fn equals(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler("crm.**")]
    fn nameless(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(eventKey = "crm.**")]
    fn camel(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.a", event_key = "crm.b")]
    fn twice(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm")]
    fn one_segment(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.deal closed")]
    fn spaces(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.d*")]
    fn half_star(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "**.closed")]
    fn stars_first(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = KEY)]
    fn not_literal(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", async)]
    fn async_alone(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", async = "true")]
    fn async_text(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", retry = 5)]
    fn retry_number(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", retry = "")]
    fn retry_empty(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", retry = "1s, 5x")]
    fn retry_unit(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", retry = "0s")]
    fn retry_zero(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", retry = "1year")]
    fn retry_long(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", max_attempts = 0)]
    fn attempts_zero(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", max_attempts = -1)]
    fn attempts_negative(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", max_attempts = 1001)]
    fn attempts_many(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.**", max_attempts = 1.5)]
    fn attempts_half(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }

    #[event_handler(event_key = "crm.a")]
    #[event_handler(event_key = "crm.b")]
    fn two_keys(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
