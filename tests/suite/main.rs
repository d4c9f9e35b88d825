//! The black-box suite: the real binary over real HTTP, on both databases. Each module holds the tests of
//! one promise; one binary holds them all, because each links for seconds.

mod access;
mod backlog;
mod bad_input;
mod breaker;
mod chat;
mod claim;
mod corrupt;
mod crash;
mod dead_letters;
mod endpoints;
mod examples;
mod extensions_limits;
mod hosts;
mod idempotency;
mod in_process;
mod lanes;
mod log_lines;
mod master_key;
mod neighbours;
mod outage;
mod overload;
mod pages;
mod patterns;
mod private_files;
mod receive;
mod restart;
mod retries;
mod seed;
mod spans;
mod start_errors;
mod surface;
mod time;
mod write_ahead_log;
