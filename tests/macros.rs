//! The macros as the authors of extensions use them: from outside the crate.
//!
//! What compiles is part of this file: given to trybuild, it would have every dependency built once more, not
//! only checked.

#[path = "macros/pass/odd_module.rs"]
mod odd_module;
#[path = "macros/pass/passed_on.rs"]
mod passed_on;
#[path = "macros/pass/strict_lints.rs"]
mod strict_lints;

/// After a wanted change of a message: `TRYBUILD=overwrite cargo test --test macros`.
#[test]
fn wrong_use_does_not_compile_and_says_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/macros/fail/*.rs");
}
