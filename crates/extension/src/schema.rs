//! The schema of a payload type, where it has one.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde_json::Value;

/// Asks a type for its JSON Schema. Method look-up prefers [`WithSchema`] where the type derives
/// [`JsonSchema`]; for every other type, [`NoSchema`] says that there is none.
#[derive(Debug)]
pub struct SchemaOf<T>(pub PhantomData<T>);

pub trait WithSchema {
    fn schema(&self) -> Option<Value>;
}

impl<T: JsonSchema> WithSchema for SchemaOf<T> {
    fn schema(&self) -> Option<Value> {
        Some(schemars::schema_for!(T).to_value())
    }
}

/// Found after one more automatic reference than [`WithSchema`].
pub trait NoSchema {
    fn schema(&self) -> Option<Value>;
}

impl<T> NoSchema for &SchemaOf<T> {
    fn schema(&self) -> Option<Value> {
        None
    }
}
