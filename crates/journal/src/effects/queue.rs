//! Which effects go into the next transaction. Slow effects must not delay the others.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{EffectCommand, StagedEffect};
use pointsman_domain::id::InstallationId;

/// Effects of one transaction, at most.
const AT_ONCE: usize = 64;
/// An effect that takes longer is slow.
pub const SLOW: Duration = Duration::from_millis(25);
/// After a slow effect others have the writer for this many times as long as it took: slow effects of the installation
/// get a tenth of the writer's time.
const OTHERS_SHARE: u32 = 9;
/// Each further slow effect in a row multiplies the share of others by this, up to `LAST_SHARE`.
const HARDER: u32 = 4;
/// Slow effects get one part in two hundred: what waits for them lies beyond the 99th percentile.
const LAST_SHARE: u32 = 199;
/// How long after a slow effect each effect of its installation has a transaction to itself.
const ALONE_FOR: Duration = Duration::from_secs(60);

/// Whether slow effects run on a connection of their own, while the writer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlowSession {
    /// They do not: the engine lets one connection write at a time.
    Never,
    /// They do, and none is running.
    Free,
    /// They do, and one is running.
    Busy,
}

/// The effects that wait. Bounded by the attempts in flight: each waits for one effect.
#[derive(Default)]
pub(crate) struct EffectQueue {
    waiting: VecDeque<EffectCommand>,
    /// Installations that had a slow effect lately, or one that may have made the database refuse a commit.
    slow: HashMap<InstallationId, Slow>,
    /// When others than effects last had something to write.
    others_wrote: Option<Instant>,
}

/// The latest slow effect of an installation.
#[derive(Clone, Copy)]
struct Slow {
    ended: Instant,
    took: Duration,
    /// Others have the writer for this many times `took`.
    others: u32,
    alone_until: Instant,
}

impl Slow {
    /// When the next slow effect may run: once others have had their share, or once they have had nothing to write for
    /// as long as this effect took.
    fn not_before(&self, others_wrote: Option<Instant>) -> Instant {
        let shared = self.ended + self.took.saturating_mul(self.others);
        let quiet = others_wrote.map_or(self.ended, |at| at.max(self.ended)) + self.took;
        shared.min(quiet)
    }
}

impl EffectQueue {
    pub(crate) fn push(&mut self, command: EffectCommand) {
        self.waiting.push_back(command);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts effects back that were not run, before those that came later.
    pub(crate) fn put_back(&mut self, effects: impl DoubleEndedIterator<Item = EffectCommand>) {
        for command in effects.rev() {
            self.waiting.push_front(command);
        }
    }

    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = EffectCommand> {
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// Takes the effects of installations with slow ones: a stop does not wait for them.
    pub(crate) fn take_slow(&mut self) -> Vec<EffectCommand> {
        let waiting = self.take_all().collect::<Vec<_>>();
        let (slow, others): (_, Vec<_>) = waiting
            .into_iter()
            .partition(|command| self.slow_of(command).is_some());
        self.waiting = others.into();
        slow
    }

    /// Others than effects had something to write.
    pub(crate) fn others_wrote(&mut self, now: Instant) {
        self.others_wrote = Some(now);
    }

    /// When the first of those that wait may be run. None where none waits, or only for the end of a running one.
    pub(crate) fn next_at(&self, now: Instant, session: SlowSession) -> Option<Instant> {
        self.waiting
            .iter()
            .filter_map(|command| match (self.slow_of(command), session) {
                (None, _) | (Some(_), SlowSession::Free) => Some(now),
                (Some(slow), SlowSession::Never) => Some(slow.not_before(self.others_wrote).max(now)),
                // It waits for the end of the one that is running.
                (Some(_), SlowSession::Busy) => None,
            })
            .min()
    }

    /// The effects of the next transaction, in the order of their arrival. Effects whose caller has gone are dropped:
    /// their lane attempts them again.
    pub(crate) fn next(&mut self, now: Instant, session: SlowSession) -> Vec<StagedEffect> {
        self.slow
            .retain(|_, slow| slow.alone_until.max(slow.not_before(None)) > now);
        self.waiting.retain(|command| !command.reply.is_closed());
        let mut taken: Vec<StagedEffect> = Vec::new();
        let mut left = VecDeque::new();
        let mut alone = false;
        for command in std::mem::take(&mut self.waiting) {
            let slow = self.slow_of(&command).copied();
            let may_run = slow.is_none_or(|slow| {
                session == SlowSession::Never && taken.is_empty() && slow.not_before(self.others_wrote) <= now
            });
            if alone || !may_run || taken.len() >= AT_ONCE {
                left.push_back(command);
            } else {
                alone = slow.is_some();
                taken.push(StagedEffect::new(command, alone));
            }
        }
        self.waiting = left;
        taken
    }

    /// The next effect that is to be run beside the writer.
    pub(crate) fn next_slow(&mut self) -> Option<StagedEffect> {
        self.waiting.retain(|command| !command.reply.is_closed());
        let index = self
            .waiting
            .iter()
            .position(|command| self.slow_of(command).is_some())?;
        let command = self.waiting.remove(index)?;
        Some(StagedEffect::new(command, true))
    }

    /// How long an effect has taken. One without work says nothing of those with work.
    pub(crate) fn took(&mut self, effect: &StagedEffect, now: Instant) {
        if !effect.has_work {
            return;
        }
        let Some(settles) = &effect.command.settles else {
            return;
        };
        let before = self.slow.get_mut(&settles.installation_id);
        if effect.took > SLOW {
            let others = before.map_or(0, |slow| slow.others.saturating_mul(HARDER));
            let slow = Slow {
                ended: now,
                took: effect.took,
                others: others.clamp(OTHERS_SHARE, LAST_SHARE),
                alone_until: now + ALONE_FOR,
            };
            self.slow.insert(settles.installation_id, slow);
        } else if let Some(slow) = before {
            // The row of slow effects has ended.
            slow.others = 0;
        }
    }

    /// The effect may be the one that cost others their transaction. For [`ALONE_FOR`] the effects of its
    /// installation have transactions to themselves.
    pub(crate) fn suspect(&mut self, effect: &StagedEffect, now: Instant) {
        if let Some(settles) = &effect.command.settles {
            let suspect = Slow {
                ended: now,
                took: Duration::ZERO,
                others: 0,
                alone_until: now + ALONE_FOR,
            };
            let known = self.slow.entry(settles.installation_id);
            known
                .and_modify(|slow| slow.alone_until = suspect.alone_until)
                .or_insert(suspect);
        }
    }

    /// An effect without work is never slow: it only writes events.
    fn slow_of(&self, command: &EffectCommand) -> Option<&Slow> {
        command.work.as_ref()?;
        let settles = command.settles.as_ref()?;
        self.slow.get(&settles.installation_id)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::{EffectEnd, EffectOf, EffectWork};
    use pointsman_clock::Clock;
    use pointsman_domain::{
        attempt::DeliveryKind,
        handler_name::HandlerName,
        id::{EventId, WorkspaceId},
        lane::DeliveryKey,
        seq::Seq,
    };

    const NEVER: SlowSession = SlowSession::Never;

    fn effect(installation: u128) -> (EffectCommand, oneshot::Receiver<EffectEnd>) {
        let (reply, answer) = oneshot::channel();
        let command = EffectCommand {
            workspace_id: WorkspaceId::new(Uuid::nil()),
            settles: Some(EffectOf {
                installation_id: InstallationId::new(Uuid::from_u128(installation)),
                generation: 1,
                key: DeliveryKey {
                    kind: DeliveryKind::Live,
                    event_id: EventId::new(Uuid::nil()),
                    handler: HandlerName::WHOLE,
                },
                seq: Seq::new(1),
                dead_letter_id: None,
            }),
            work: Some(EffectWork::new(|_| Box::pin(async { Ok(()) }))),
            events: Vec::new(),
            reply,
        };
        (command, answer)
    }

    fn of(staged: &[StagedEffect]) -> Vec<u128> {
        let of = |effect: &StagedEffect| effect.command.settles.as_ref().unwrap().installation_id;
        staged.iter().map(|effect| of(effect).uuid().as_u128()).collect()
    }

    #[test]
    fn they_go_in_order_and_not_too_many_at_once() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        let mut answers = Vec::new();
        for installation in 0..70 {
            let (command, answer) = effect(installation);
            queue.push(command);
            answers.push(answer);
        }
        assert_eq!(of(&queue.next(now, NEVER)), (0..64).collect::<Vec<_>>());
        assert_eq!(of(&queue.next(now, NEVER)), (64..70).collect::<Vec<_>>());
        assert!(queue.is_empty());
    }

    #[test]
    fn one_that_nobody_waits_for_is_dropped() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        let (command, answer) = effect(1);
        queue.push(command);
        drop(answer);
        assert!(queue.next(now, NEVER).is_empty() && queue.is_empty());
    }

    /// The installation's effect has taken so long.
    fn took(queue: &mut EffectQueue, installation: u128, millis: u64, now: Instant) {
        let (command, _nobody) = effect(installation);
        let mut staged = StagedEffect::new(command, false);
        staged.took = Duration::from_millis(millis);
        queue.took(&staged, now);
    }

    #[test]
    fn a_slow_one_makes_its_installation_wait_and_go_alone() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        let later = now + Duration::from_millis(900);
        queue.others_wrote(later);
        took(&mut queue, 1, 100, now);
        let (first, _a) = effect(1);
        let (second, _b) = effect(2);
        queue.push(first);
        queue.push(second);
        assert_eq!(of(&queue.next(now, NEVER)), [2]);
        assert_eq!(queue.next_at(now, NEVER), Some(later));
        let (third, _c) = effect(3);
        queue.push(third);
        let alone = queue.next(later, NEVER);
        assert!(of(&alone) == [1] && alone[0].is_slow);
        assert_eq!(of(&queue.next(later, NEVER)), [3]);
    }

    #[test]
    fn slow_ones_in_a_row_get_less_and_less() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        // Others write all the time.
        queue.others_wrote(now + Duration::from_secs(3600));
        let (waiting, _answer) = effect(1);
        queue.push(waiting);
        let mut pause = |millis| {
            took(&mut queue, 1, millis, now);
            queue.next_at(now, NEVER).unwrap().saturating_duration_since(now)
        };
        let pauses = [100, 100, 100, 100, 100].map(&mut pause);
        assert_eq!(
            pauses.map(|pause| pause.as_millis()),
            [900, 3_600, 14_400, 19_900, 19_900]
        );
        assert_eq!(pause(1), Duration::ZERO, "one that was quick");
        assert_eq!(pause(100), Duration::from_millis(900), "is the end of the row");
    }

    #[test]
    fn a_slow_one_goes_on_where_others_have_nothing_to_write() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        let after = |millis| now + Duration::from_millis(millis);
        took(&mut queue, 1, 100, now);
        let (waiting, _answer) = effect(1);
        queue.push(waiting);
        assert_eq!(queue.next_at(now, NEVER), Some(after(100)));
        queue.others_wrote(after(50));
        assert_eq!(queue.next_at(after(50), NEVER), Some(after(150)));
    }

    #[test]
    fn slow_ones_go_beside_the_others_where_they_can() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        took(&mut queue, 1, 100, now);
        let mut answers = Vec::new();
        for installation in [1, 2, 1] {
            let (command, answer) = effect(installation);
            queue.push(command);
            answers.push(answer);
        }
        assert_eq!(of(&queue.next(now, SlowSession::Free)), [2]);
        assert_eq!(queue.next_at(now, SlowSession::Free), Some(now));
        assert_eq!(queue.next_at(now, SlowSession::Busy), None);
        let slow = queue.next_slow().unwrap();
        assert!(of(std::slice::from_ref(&slow)) == [1] && slow.is_slow);
        assert_eq!(queue.take_slow().len(), 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn one_that_is_suspected_again_goes_alone_for_as_long_again() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        let after = |seconds| now + Duration::from_secs(seconds);
        for seconds in [0, 59] {
            let (command, _nobody) = effect(1);
            queue.suspect(&StagedEffect::new(command, false), after(seconds));
        }
        let (first, _a) = effect(2);
        let (second, _b) = effect(1);
        queue.push(first);
        queue.push(second);
        assert_eq!(of(&queue.next(after(61), NEVER)), [2]);
    }
}
