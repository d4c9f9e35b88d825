//! The progress of the bench, on standard error: a bar at a terminal, otherwise a line for each step that is done.

use std::{cell::Cell, io::IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    steps: u64,
    done: Cell<u64>,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn of(steps: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:32}] {pos}/{len} {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            bar,
            steps,
            done: Cell::new(0),
            is_terminal,
        }
    }

    /// Shows the step that begins.
    pub(crate) fn doing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
    }

    /// Shows the step that has ended, and its result.
    pub(crate) fn done(&self, what: &str, found: &str) {
        self.done.set(self.done.get() + 1);
        self.bar.inc(1);
        if !self.is_terminal {
            line(&format!("[{}/{}] {what}: {found}", self.done.get(), self.steps));
        }
    }

    /// Hides the bar while something is printed.
    pub(crate) fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[expect(clippy::print_stderr, reason = "progress is for the terminal")]
pub(crate) fn line(text: &str) {
    eprintln!("{text}");
}
