mod executor;
mod panics;
