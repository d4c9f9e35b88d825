//! The scenarios, one file for each.

mod backlog;
mod ceiling;
mod due;
mod fan_out;
mod flood;
mod growth;
mod hanging;
mod idle_workspaces;
mod in_process;
mod latency;
mod neighbour;
mod outage;
mod overload;
mod pruning;
mod publish;
mod retries;
mod rows;
mod throughput;
mod workspaces;

use anyhow::Result;

pub(crate) use self::{
    ceiling::NAME as CEILING, growth::NAME as GROWTH, latency::NAME as LATENCY, publish::NAME as PUBLISH,
};

use crate::{arguments::Scenario, bench::Bench, database::Engine, report::Table};

/// Scenarios that share their runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScenarioGroup {
    /// `publish`, `ceiling`, or both.
    Throughput {
        publish: bool,
        ceiling: bool,
    },
    One(Scenario),
}

/// Groups the scenarios, so that nothing is measured twice.
pub(crate) fn groups(scenarios: &[Scenario]) -> Vec<ScenarioGroup> {
    let (publish, ceiling) = (
        scenarios.contains(&Scenario::Publish),
        scenarios.contains(&Scenario::Ceiling),
    );
    let mut groups = Vec::new();
    if publish || ceiling {
        groups.push(ScenarioGroup::Throughput { publish, ceiling });
    }
    let alone = |scenario: &&Scenario| !matches!(scenario, Scenario::Publish | Scenario::Ceiling);
    groups.extend(scenarios.iter().filter(alone).copied().map(ScenarioGroup::One));
    groups
}

impl ScenarioGroup {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Throughput { publish: false, .. } => "ceiling",
            Self::Throughput { .. } => "publish",
            Self::One(Scenario::Latency) => "latency",
            Self::One(Scenario::FanOut) => "fan-out",
            Self::One(Scenario::InProcess) => "in-process",
            Self::One(Scenario::Neighbour) => "neighbour",
            Self::One(Scenario::Flood) => "flood",
            Self::One(Scenario::Overload) => "overload",
            Self::One(Scenario::Backlog) => "backlog",
            Self::One(Scenario::Retries) => "retries",
            Self::One(Scenario::Workspaces) => "workspaces",
            Self::One(Scenario::IdleWorkspaces) => "idle-workspaces",
            Self::One(Scenario::Growth) => "growth",
            Self::One(Scenario::Pruning) => "pruning",
            Self::One(Scenario::Due) => "due",
            Self::One(Scenario::Publish | Scenario::Ceiling | Scenario::All) => "all",
        }
    }

    /// The number of progress steps on one database.
    pub(crate) fn steps(self, runs: u32) -> u64 {
        let runs = u64::from(runs);
        match self {
            Self::Throughput { publish, ceiling } => throughput::steps(publish, ceiling, runs),
            Self::One(Scenario::Latency) => latency::steps(runs),
            Self::One(Scenario::FanOut) => fan_out::steps(runs),
            Self::One(Scenario::InProcess) => in_process::steps(runs),
            Self::One(Scenario::Neighbour) => neighbour::steps(runs),
            Self::One(Scenario::Flood) => flood::steps(runs),
            Self::One(Scenario::Overload) => overload::steps(runs),
            Self::One(Scenario::Backlog) => backlog::steps(runs),
            Self::One(Scenario::Retries) => retries::steps(runs),
            Self::One(Scenario::Workspaces) => workspaces::steps(runs),
            Self::One(Scenario::IdleWorkspaces) => idle_workspaces::STEPS,
            Self::One(Scenario::Growth) => growth::steps(runs),
            Self::One(Scenario::Pruning) => pruning::steps(runs),
            Self::One(Scenario::Due) => due::steps(runs),
            Self::One(Scenario::Publish | Scenario::Ceiling | Scenario::All) => 0,
        }
    }

    pub(crate) async fn run(self, bench: &Bench, engine: Engine) -> Result<Vec<Table>> {
        match self {
            Self::Throughput { publish, ceiling } => throughput::run(bench, engine, publish, ceiling).await,
            Self::One(Scenario::Latency) => latency::run(bench, engine).await,
            Self::One(Scenario::FanOut) => fan_out::run(bench, engine).await,
            Self::One(Scenario::InProcess) => in_process::run(bench, engine).await,
            Self::One(Scenario::Neighbour) => neighbour::run(bench, engine).await,
            Self::One(Scenario::Flood) => flood::run(bench, engine).await,
            Self::One(Scenario::Overload) => overload::run(bench, engine).await,
            Self::One(Scenario::Backlog) => backlog::run(bench, engine).await,
            Self::One(Scenario::Retries) => retries::run(bench, engine).await,
            Self::One(Scenario::Workspaces) => workspaces::run(bench, engine).await,
            Self::One(Scenario::IdleWorkspaces) => idle_workspaces::run(bench, engine).await,
            Self::One(Scenario::Growth) => growth::run(bench, engine).await,
            Self::One(Scenario::Pruning) => pruning::run(bench, engine).await,
            Self::One(Scenario::Due) => due::run(bench, engine).await,
            Self::One(Scenario::Publish | Scenario::Ceiling | Scenario::All) => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_and_steps() {
        for group in groups(Scenario::value_variants()) {
            if group != ScenarioGroup::One(Scenario::All) {
                assert!(group.name() != "all" && group.steps(1) > 0, "{group:?}");
            }
        }
    }
}
