//! placeholder until merged
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandlerName(&'static str);
static N: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
impl HandlerName {
    pub const WHOLE: Self = Self("");
    pub fn intern(name: &str) -> Self {
        let mut names = N.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.get_or_insert_default();
        match names.get(name) {
            Some(n) => Self(n),
            None => {
                let n: &'static str = Box::leak(name.into());
                names.insert(n);
                Self(n)
            }
        }
    }
    pub fn as_str(self) -> &'static str {
        self.0
    }
}
