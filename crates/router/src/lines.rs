//! Lines of the log about what may happen a million times: at most one a minute for each installation and kind of line,
//! with the number of those that were left out.
//!
//! What is remembered is bounded, for a workspace and in all. Installations beyond the bounds share the lines of their
//! workspace, or the lines of the router.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::lock::locked;
use pointsman_clock::Clock;
use pointsman_domain::id::{InstallationId, WorkspaceId};

const EVERY: Duration = Duration::from_secs(60);
/// Subjects of one workspace, each a pair of an installation and a kind of line: an installation of which both dead
/// letters and breakers are told takes up to three. Beyond this number, installations share one line of each kind,
/// which counts as a subject, too.
const PER_WORKSPACE: usize = 64;
/// Subjects in all; three more are shared by everybody else, one for each kind of line.
const IN_ALL: usize = 4096;
/// Between two looks for subjects that can be forgotten, while there are [`IN_ALL`], or for lines to be told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    DeadLetter,
    BreakerOpened,
    BreakerClosed,
}

impl Line {
    /// The line that tells the end of the state that this one tells.
    fn opposite(self) -> Option<Self> {
        match self {
            Self::DeadLetter => None,
            Self::BreakerOpened => Some(Self::BreakerClosed),
            Self::BreakerClosed => Some(Self::BreakerOpened),
        }
    }
}

/// Lines of one kind that are counted together: those of one installation, of the rest of a workspace, or of everybody
/// else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    workspace: Option<WorkspaceId>,
    installation: Option<InstallationId>,
    line: Line,
}

#[derive(Debug)]
struct Quiet {
    until: Instant,
    left_out: u64,
    /// The opposite line has come since.
    is_over: bool,
}

/// What was left out of the lines of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeftOut {
    subject: Subject,
    count: u64,
    is_over: bool,
}

/// Decides whether a line may be told. Pure: the time is an argument.
#[derive(Debug, Default)]
struct Rate {
    subjects: BTreeMap<Subject, Quiet>,
    next_look: Option<Instant>,
}

impl Rate {
    /// How many lines were left out since the last one, if there may be one now.
    fn may_say(
        &mut self,
        line: Line,
        workspace: WorkspaceId,
        installation: InstallationId,
        now: Instant,
    ) -> Option<u64> {
        let subject = self.subject(line, workspace, installation, now);
        let opposite = line.opposite().map(|line| Subject { line, ..subject });
        if let Some(quiet) = opposite.and_then(|opposite| self.subjects.get_mut(&opposite)) {
            quiet.is_over = true;
        }
        let quiet = self.subjects.entry(subject).or_insert(Quiet {
            until: now,
            left_out: 0,
            is_over: false,
        });
        quiet.is_over = false;
        if now < quiet.until {
            quiet.left_out += 1;
            return None;
        }
        quiet.until = now + EVERY;
        Some(std::mem::take(&mut quiet.left_out))
    }

    fn subject(
        &mut self,
        line: Line,
        workspace: WorkspaceId,
        installation: InstallationId,
        now: Instant,
    ) -> Subject {
        let own = Subject {
            workspace: Some(workspace),
            installation: Some(installation),
            line,
        };
        if self.subjects.contains_key(&own) {
            return own;
        }
        let rest = Subject {
            installation: None,
            ..own
        };
        let has_room = self.has_room(now);
        if has_room && self.count(workspace) < PER_WORKSPACE {
            own
        } else if has_room || self.subjects.contains_key(&rest) {
            rest
        } else {
            Subject {
                workspace: None,
                ..rest
            }
        }
    }

    /// Subjects of the workspace, up to the bound.
    fn count(&self, workspace: WorkspaceId) -> usize {
        let first = Subject {
            workspace: Some(workspace),
            installation: None,
            line: Line::DeadLetter,
        };
        let theirs = self.subjects.range(first..);
        let theirs = theirs.take_while(|(subject, _)| subject.workspace == Some(workspace));
        theirs.take(PER_WORKSPACE).count()
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if self.subjects.len() >= IN_ALL && self.next_look.is_none_or(|at| at <= now) {
            self.next_look = Some(now + LOOK_EVERY);
            self.subjects
                .retain(|_, quiet| quiet.left_out > 0 || now < quiet.until);
        }
        self.subjects.len() < IN_ALL
    }

    /// The lines left out in minutes that are over, or in all where `all` is set.
    fn left_out(&mut self, now: Instant, all: bool) -> Vec<LeftOut> {
        let mut told = Vec::new();
        self.subjects.retain(|subject, quiet| {
            if now < quiet.until && !all {
                return true;
            }
            if quiet.left_out == 0 {
                return false;
            }
            told.push(LeftOut {
                subject: *subject,
                count: std::mem::take(&mut quiet.left_out),
                is_over: quiet.is_over && subject.installation.is_some(),
            });
            quiet.until = now + EVERY;
            true
        });
        told
    }

    /// When the first minute is over in which something was left out.
    fn next_left_out(&self) -> Option<Instant> {
        let left_out = self.subjects.values().filter(|quiet| quiet.left_out > 0);
        left_out.map(|quiet| quiet.until).min()
    }
}

/// The lines of one router; they outlive its actors.
#[derive(Debug)]
pub(super) struct Lines {
    rate: Mutex<Rate>,
    /// A task will tell what is left out.
    is_watched: AtomicBool,
    clock: Clock,
}

impl Lines {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            rate: Mutex::default(),
            is_watched: AtomicBool::new(false),
            clock,
        }
    }

    /// How many lines like this were left out since the last one, if it may be written. What is left out is told at
    /// the latest when its minute is over.
    pub(super) fn may_say(
        self: &Arc<Self>,
        line: Line,
        workspace: WorkspaceId,
        installation: InstallationId,
    ) -> Option<u64> {
        let now = self.clock.instant();
        let said = locked(&self.rate).may_say(line, workspace, installation, now);
        if said.is_none() && !self.is_watched.swap(true, Ordering::SeqCst) {
            let lines = Arc::clone(self);
            actix::spawn(async move { lines.watch().await });
        }
        said
    }

    /// Tells the lines that were left out, each when its minute is over, until there are none.
    async fn watch(self: Arc<Self>) {
        loop {
            let next = locked(&self.rate).next_left_out();
            if let Some(next) = next {
                let pause = next.saturating_duration_since(self.clock.instant());
                // Not oftener than once a second, however many minutes end.
                actix::clock::sleep(pause.max(LOOK_EVERY)).await;
                self.tell(false);
                continue;
            }
            // In this order: a line that is left out after the look finds no task that watches, and starts one.
            self.is_watched.store(false, Ordering::SeqCst);
            let more = locked(&self.rate).next_left_out().is_some();
            if !more || self.is_watched.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Tells the lines left out in minutes that are over; in all minutes where the router stops.
    pub(super) fn tell(&self, all: bool) {
        let told = locked(&self.rate).left_out(self.clock.instant(), all);
        for LeftOut {
            subject,
            count: left_out,
            is_over,
        } in told
        {
            let workspace = subject
                .workspace
                .map_or("several".to_owned(), |id| id.to_string());
            let installation = subject
                .installation
                .map_or("several".to_owned(), |id| id.to_string());
            match (subject.line, is_over) {
                (Line::DeadLetter, _) => {
                    log::warn!(workspace, installation, left_out; "more deliveries became dead letters");
                }
                (Line::BreakerOpened, false) => {
                    log::warn!(workspace, installation, left_out; "a breaker has opened again");
                }
                (Line::BreakerOpened, true) => {
                    log::info!(workspace, installation, left_out; "a breaker has opened again, and closed since");
                }
                (Line::BreakerClosed, false) => {
                    log::info!(workspace, installation, left_out; "a breaker has closed again");
                }
                (Line::BreakerClosed, true) => {
                    log::warn!(workspace, installation, left_out; "a breaker has closed again, and opened since");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn workspace(number: usize) -> WorkspaceId {
        WorkspaceId::new(Uuid::from_u128(number as u128))
    }

    fn installation(number: usize) -> InstallationId {
        InstallationId::new(Uuid::from_u128(number as u128))
    }

    struct Minute(Rate, Instant);

    impl Minute {
        fn new() -> Self {
            Self(Rate::default(), Clock.instant())
        }

        fn say(&mut self, of: (usize, usize), seconds: u64) -> Option<u64> {
            let at = self.1 + Duration::from_secs(seconds);
            self.0
                .may_say(Line::DeadLetter, workspace(of.0), installation(of.1), at)
        }

        fn left_out(&mut self, seconds: u64) -> Vec<u64> {
            let told = self.0.left_out(self.1 + Duration::from_secs(seconds), false);
            told.into_iter().map(|left_out| left_out.count).collect()
        }
    }

    #[test]
    fn an_installation_has_one_line_a_minute_with_the_number_of_those_left_out() {
        let mut minute = Minute::new();
        assert_eq!(minute.say((1, 1), 0), Some(0));
        assert_eq!(minute.say((1, 2), 0), Some(0), "another one has its own");
        assert!((1..=1_000_000).all(|_| minute.say((1, 1), 59).is_none()));
        assert_eq!(minute.say((1, 1), 60), Some(1_000_000));
        assert_eq!(minute.say((1, 1), 119), None);
        let opened = Line::BreakerOpened;
        let other = minute.0.may_say(opened, workspace(1), installation(1), minute.1);
        assert_eq!(other, Some(0), "another kind of line has its own");
    }

    #[test]
    fn what_is_left_out_is_told_when_the_minute_is_over_and_then_forgotten() {
        let mut minute = Minute::new();
        minute.say((1, 1), 0);
        minute.say((1, 2), 0);
        assert_eq!(minute.say((1, 1), 1), None);
        assert_eq!(minute.0.next_left_out(), Some(minute.1 + EVERY));
        assert!(minute.left_out(59).is_empty());
        assert_eq!(minute.left_out(60), [1]);
        assert_eq!(minute.0.next_left_out(), None);
        assert_eq!(minute.say((1, 1), 61), None, "that was the line of this minute");
        assert_eq!(minute.left_out(120), [1]);
        assert!(minute.left_out(180).is_empty());
        assert!(minute.0.subjects.is_empty());
    }

    #[test]
    fn a_breaker_that_is_told_late_is_told_as_it_is_now() {
        let mut minute = Minute::new();
        let mut change = |line, seconds| {
            let at = minute.1 + Duration::from_secs(seconds);
            minute.0.may_say(line, workspace(1), installation(1), at)
        };
        assert_eq!(change(Line::BreakerOpened, 0), Some(0));
        assert_eq!(change(Line::BreakerClosed, 1), Some(0));
        assert_eq!(change(Line::BreakerOpened, 2), None);
        assert_eq!(change(Line::BreakerClosed, 3), None);
        let told = minute.0.left_out(minute.1 + EVERY, true);
        let told = told
            .iter()
            .map(|left_out| (left_out.subject.line, left_out.is_over));
        let expected = [(Line::BreakerOpened, true), (Line::BreakerClosed, false)];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_remembered_is_bounded_for_a_workspace_and_in_all() {
        let mut minute = Minute::new();
        let said = (0..10_000).filter(|number| minute.say((1, *number), 0).is_some());
        assert_eq!(said.count(), PER_WORKSPACE + 1, "and one for all others of it");
        let said = (2..10_000).filter(|number| minute.say((*number, 1), 0).is_some());
        assert_eq!(
            said.count(),
            IN_ALL - PER_WORKSPACE - 1 + 1,
            "and one for everybody else"
        );
        assert!(minute.0.subjects.len() <= IN_ALL + 3);
        assert_eq!(
            minute.say((20_000, 1), 61).map(|_| ()),
            Some(()),
            "the first are forgotten"
        );
    }
}
