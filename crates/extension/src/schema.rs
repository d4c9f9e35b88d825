//! The JSON Schema of a payload type, where it has one.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde_json::Value;

/// Gets the JSON Schema of a type. Method look-up prefers [`WithSchema`] where the type derives [`JsonSchema`]. For
/// every other type it finds [`NoSchema`], which has none.
#[derive(Debug)]
pub struct SchemaOf<T>(pub PhantomData<T>);

/// A type that derives [`JsonSchema`].
pub trait WithSchema {
    /// Its schema.
    fn schema(&self) -> Option<Value>;
}

impl<T: JsonSchema> WithSchema for SchemaOf<T> {
    fn schema(&self) -> Option<Value> {
        Some(schemars::schema_for!(T).to_value())
    }
}

/// Any other type. Method look-up finds it after one more automatic reference than [`WithSchema`].
pub trait NoSchema {
    /// `None`.
    fn schema(&self) -> Option<Value>;
}

impl<T> NoSchema for &SchemaOf<T> {
    fn schema(&self) -> Option<Value> {
        None
    }
}
