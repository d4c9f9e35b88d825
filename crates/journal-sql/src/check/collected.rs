//! What a check has found so far.

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which kind, in a few words.
    pub kind: &'static str,
    /// What it is, with the ids that it concerns.
    pub text: String,
}

impl Finding {
    /// How many of each kind are kept and shown.
    pub const SHOWN: u64 = 20;
}

/// The findings, of which only so many of a kind are kept.
#[derive(Debug, Default)]
pub(super) struct Collected {
    findings: Vec<Finding>,
    /// How many there are of each kind.
    counts: Vec<(&'static str, u64)>,
}

impl Collected {
    pub(super) fn add(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        let count = self.count_of(kind);
        *count += 1;
        if *count <= Finding::SHOWN {
            let text = text();
            self.findings.push(Finding { kind, text });
        }
    }

    /// Counts findings of a kind that has been shown [`Finding::SHOWN`] times.
    pub(super) fn add_unseen(&mut self, kind: &'static str, more: u64) {
        *self.count_of(kind) += more;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    fn count_of(&mut self, kind: &'static str) -> &mut u64 {
        let index = match self.counts.iter().position(|(known, _)| *known == kind) {
            Some(index) => index,
            None => {
                self.counts.push((kind, 0));
                self.counts.len() - 1
            }
        };
        &mut self.counts[index].1
    }

    /// The findings, and how many more there are of each kind.
    pub(super) fn into_parts(self) -> (Vec<Finding>, Vec<(&'static str, u64)>) {
        let more = self.counts.into_iter().filter_map(|(kind, count)| {
            let more = count.saturating_sub(Finding::SHOWN);
            (more > 0).then_some((kind, more))
        });
        (self.findings, more.collect())
    }
}
