use pointsman::extension::{EventContext, HandlerError, event_handler, extension};

struct Crm;

const KEY: &str = "crm";

#[extension]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_0(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(name = "CRM")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_1(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension("crm")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_2(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key)]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_3(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = KEY)]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_4(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = 7)]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_5(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = "crm", key = "crm")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_6(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = "crm", version = "1")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_7(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = "crm" name = "CRM")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_8(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = "")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_9(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = "CRM")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_10(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[extension(key = "crm", name = " ")]
impl Crm {
    #[event_handler(event_key = "crm.**")]
    fn handler_11(&self, _: EventContext) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
