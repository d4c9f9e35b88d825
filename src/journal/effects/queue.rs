//! Which effects go into the next transaction, so that none that is slow slows others.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{EffectCommand, StagedEffect};
use crate::domain::id::InstallationId;

/// Effects of one transaction.
const AT_ONCE: usize = 64;
/// An effect that takes longer is slow.
const SLOW: Duration = Duration::from_millis(25);
/// A slow effect is followed by so many times as long for others: its installation has a tenth of the writer.
const OTHERS_SHARE: u32 = 9;
/// How long the effects of an installation with a slow one have transactions to themselves.
const ALONE_FOR: Duration = Duration::from_secs(60);

/// What waits. Bounded by the attempts that are in flight, each of which waits for its one effect.
#[derive(Default)]
pub(in crate::journal) struct EffectQueue {
    waiting: VecDeque<EffectCommand>,
    /// Installations that had a slow effect of late, or one that may be refused at the commit.
    slow: HashMap<InstallationId, Slow>,
}

#[derive(Clone, Copy)]
struct Slow {
    not_before: Instant,
    alone_until: Instant,
}

impl EffectQueue {
    pub(in crate::journal) fn push(&mut self, command: EffectCommand) {
        self.waiting.push_back(command);
    }

    pub(in crate::journal) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts effects back that were not run, before what came later.
    pub(in crate::journal) fn put_back(&mut self, effects: impl DoubleEndedIterator<Item = EffectCommand>) {
        for command in effects.rev() {
            self.waiting.push_front(command);
        }
    }

    pub(in crate::journal) fn take_all(&mut self) -> impl Iterator<Item = EffectCommand> {
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// When the first of those that wait may be run.
    pub(in crate::journal) fn next_at(&self, now: Instant) -> Option<Instant> {
        self.waiting
            .iter()
            .map(|command| self.slow_of(command).map_or(now, |slow| slow.not_before.max(now)))
            .min()
    }

    /// The effects of the next transaction, in the order of their arrival. What nobody waits for any more is
    /// dropped: its lane attempts it again.
    pub(in crate::journal) fn next(&mut self, now: Instant) -> Vec<StagedEffect> {
        self.slow
            .retain(|_, slow| slow.alone_until.max(slow.not_before) > now);
        self.waiting.retain(|command| !command.reply.is_closed());
        let mut taken: Vec<StagedEffect> = Vec::new();
        let mut left = VecDeque::new();
        let mut alone = false;
        for command in std::mem::take(&mut self.waiting) {
            let slow = self.slow_of(&command).copied();
            let may_run = slow.is_none_or(|slow| slow.not_before <= now && taken.is_empty());
            if alone || !may_run || taken.len() >= AT_ONCE {
                left.push_back(command);
            } else {
                alone = slow.is_some();
                taken.push(StagedEffect::new(command));
            }
        }
        self.waiting = left;
        taken
    }

    /// How long an effect has taken.
    pub(in crate::journal) fn took(&mut self, effect: &StagedEffect, now: Instant) {
        if effect.took <= SLOW {
            return;
        }
        if let Some(settles) = &effect.command.settles {
            let slow = Slow {
                not_before: now + effect.took * OTHERS_SHARE,
                alone_until: now + ALONE_FOR,
            };
            self.slow.insert(settles.installation_id, slow);
        }
    }

    /// It may be what makes the database refuse a commit: it goes alone for a while.
    pub(in crate::journal) fn suspect(&mut self, effect: &StagedEffect, now: Instant) {
        if let Some(settles) = &effect.command.settles {
            let suspect = Slow {
                not_before: now,
                alone_until: now + ALONE_FOR,
            };
            self.slow.entry(settles.installation_id).or_insert(suspect);
        }
    }

    fn slow_of(&self, command: &EffectCommand) -> Option<&Slow> {
        let settles = command.settles.as_ref()?;
        self.slow.get(&settles.installation_id)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::{
        clock::Clock,
        domain::{
            attempt::DeliveryKind,
            handler_name::HandlerName,
            id::{EventId, WorkspaceId},
            lane::DeliveryKey,
            seq::Seq,
        },
        journal::{EffectEnd, EffectOf},
    };

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
            work: None,
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
        assert_eq!(of(&queue.next(now)), (0..64).collect::<Vec<_>>());
        assert_eq!(of(&queue.next(now)), (64..70).collect::<Vec<_>>());
        assert!(queue.is_empty());
    }

    #[test]
    fn one_that_nobody_waits_for_is_dropped() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        let (command, answer) = effect(1);
        queue.push(command);
        drop(answer);
        assert!(queue.next(now).is_empty() && queue.is_empty());
    }

    #[test]
    fn a_slow_one_makes_its_installation_wait_and_go_alone() {
        let (mut queue, now) = (EffectQueue::default(), Clock.instant());
        let (command, _slow) = effect(1);
        let mut staged = StagedEffect::new(command);
        staged.took = Duration::from_millis(100);
        queue.took(&staged, now);
        let (first, _a) = effect(1);
        let (second, _b) = effect(2);
        queue.push(first);
        queue.push(second);
        assert_eq!(of(&queue.next(now)), [2]);
        assert_eq!(queue.next_at(now), Some(now + Duration::from_millis(900)));
        let (third, _c) = effect(3);
        queue.push(third);
        let later = now + Duration::from_millis(900);
        assert_eq!(of(&queue.next(later)), [1], "alone");
        assert_eq!(of(&queue.next(later)), [3]);
    }
}
