//! Attaches and changes: done one at a time, between two batches.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::{
    bounds::bounded,
    connection::WriterConnection,
    history::History,
    lanes::{Lanes, NotAttached},
    workspace_logs::WorkspaceLogs,
};
use crate::{
    change::{Change, Reply},
    command::{Attached, Job, JobEnd, WriteJob},
    errors::{ChangeError, StorageUnavailable},
    notice::Notice,
    prune::{Deleted, Piece},
    storage::{Connection, Outcome},
};
use pointsman_domain::id::InstallationId;

#[derive(Default)]
pub(super) struct Jobs {
    queue: VecDeque<QueuedJob>,
}

/// A job, and whether it has been tried before on a connection that was lost before the job began.
struct QueuedJob {
    job: Job,
    /// How many settlements had come before it. An attach answers with what is durable, so that the job is not done
    /// while one of them waits. It does not wait for those that come later: they may never end.
    settlements_before: u64,
    is_second_try: bool,
}

impl Jobs {
    /// Queues a job that came after so many settlements.
    pub(super) fn push(&mut self, job: Job, settlements_before: u64) {
        self.queue.push_back(QueuedJob {
            job,
            settlements_before,
            is_second_try: false,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Refuses all jobs that wait: there is no connection.
    pub(super) fn refuse_waiting(&mut self) {
        for queued in self.queue.drain(..) {
            queued.job.refuse();
        }
    }

    /// Does the next job. One that could not begin because the connection is gone is done on the next connection, once.
    /// False where no job waits, the next one waits for a settlement that is not among the first `settlements_taken`,
    /// or there is no connection.
    pub(super) async fn run_next(
        &mut self,
        settlements_taken: u64,
        connection: &mut WriterConnection,
        logs: &mut WorkspaceLogs,
        lanes: &mut Lanes,
        history: &mut History,
    ) -> bool {
        let Some(current) = connection.get() else {
            return false;
        };
        let is_ready = |queued: &QueuedJob| queued.settlements_before <= settlements_taken;
        if !self.queue.front().is_some_and(is_ready) {
            return false;
        }
        let Some(queued) = self.queue.pop_front() else {
            return false;
        };
        let QueuedJob {
            job,
            settlements_before,
            is_second_try,
        } = queued;
        let Some(job) = run(job, &*current, connection, logs, lanes, history).await else {
            return true;
        };
        if is_second_try {
            job.refuse();
        } else {
            self.queue.push_front(QueuedJob {
                job,
                settlements_before,
                is_second_try: true,
            });
        }
        connection.lose("a change could not begin");
        true
    }
}

/// Does the job and answers it, or returns it where it could not begin.
async fn run(
    job: Job,
    current: &dyn Connection,
    connection: &mut WriterConnection,
    logs: &mut WorkspaceLogs,
    lanes: &mut Lanes,
    history: &mut History,
) -> Option<Job> {
    match job {
        Job::Attach {
            installation_id,
            reply,
        } => attach(installation_id, reply, current, lanes).await,
        Job::Installation { workspace, reply, .. } if lanes.is_deleted(workspace) => {
            refuse_deleted(reply);
            None
        }
        Job::Installation {
            workspace,
            work,
            reply,
        } => {
            let outcome = bounded(current.change_installation(workspace, (*work).clone())).await;
            match &outcome {
                Outcome::NotBegun => {
                    return Some(Job::Installation {
                        workspace,
                        work,
                        reply,
                    });
                }
                Outcome::Committed(view) => {
                    logs.due.worked([workspace].into_iter());
                    logs.tell(Notice::InstallationChanged(Box::new(view.clone())));
                }
                Outcome::RolledBack(_) | Outcome::Unknown => {}
            }
            answer(outcome, reply, connection);
            None
        }
        Job::Change { change, reply } if change.workspace().is_some_and(|id| lanes.is_deleted(id)) => {
            refuse_deleted(reply);
            None
        }
        Job::Change { change, reply } => {
            let now = connection.clock().instant();
            let outcome = bounded(current.change(change.clone())).await;
            if matches!(outcome, Outcome::NotBegun) {
                return Some(Job::Change { change, reply });
            }
            let outcome = outcome.map(|notice| {
                logs.due.worked(change.workspace_with_work().into_iter());
                if let Some(Notice::EventErased(event)) = &notice {
                    lanes.erase(event.id, now);
                    history.erase(event.id);
                }
                notice.into_iter().for_each(|notice| logs.tell(notice));
                if let Change::DeleteWorkspace { workspace, .. } = &change {
                    lanes.delete(*workspace);
                    logs.deleted(*workspace);
                }
            });
            answer(outcome, reply, connection);
            None
        }
        Job::Write(job) => write(job, current, connection, logs).await,
        Job::Prune { piece, reply } => {
            let answer = prune(piece, current, connection, logs.recorded()).await;
            // The planner may have gone.
            let _ = reply.send(answer);
            None
        }
    }
}

/// The workspace was deleted before the job came.
fn refuse_deleted<T>(reply: Reply<T>) {
    // The caller may have gone.
    let _ = reply.send(Err(ChangeError::NotFound("workspace")));
}

/// Where the outcome is not known, the planner finds the rows again.
async fn prune(
    piece: Piece,
    current: &dyn Connection,
    connection: &mut WriterConnection,
    recorded: u64,
) -> Result<Deleted, StorageUnavailable> {
    let start = connection.clock().instant();
    match bounded(current.prune(piece.clone())).await {
        Outcome::Committed(rows) => {
            connection.answered();
            Ok(Deleted {
                rows,
                took: connection.clock().elapsed(start),
                recorded,
            })
        }
        Outcome::RolledBack(error) => {
            connection.answered();
            log::error!(piece:?, error:%; "the database refuses to prune");
            Err(StorageUnavailable)
        }
        Outcome::NotBegun | Outcome::Unknown => {
            connection.lose("pruning failed");
            Err(StorageUnavailable)
        }
    }
}

async fn attach(
    installation_id: InstallationId,
    reply: oneshot::Sender<Result<Attached, StorageUnavailable>>,
    current: &dyn Connection,
    lanes: &mut Lanes,
) -> Option<Job> {
    let attached = match lanes.attach(current, installation_id).await {
        Ok(attached) => Ok(attached),
        Err(NotAttached::Refused) => Err(StorageUnavailable),
        // An attach can be done twice without harm, so that it is done again whatever became of it.
        Err(NotAttached::Lost(cause)) => {
            log::error!(installation:% = installation_id; "{cause}");
            return Some(Job::Attach {
                installation_id,
                reply,
            });
        }
    };
    // The caller may have gone.
    let _ = reply.send(attached);
    None
}

async fn write(
    mut job: Box<dyn WriteJob>,
    current: &dyn Connection,
    connection: &mut WriterConnection,
    logs: &mut WorkspaceLogs,
) -> Option<Job> {
    match bounded(current.run(&mut *job, connection.is_beside_effect())).await {
        Outcome::NotBegun => return Some(Job::Write(job)),
        Outcome::Committed(()) => {
            connection.answered();
            job.notices().into_iter().for_each(|notice| logs.tell(notice));
            job.finish(JobEnd::Committed);
        }
        Outcome::RolledBack(error) => {
            connection.answered();
            job.finish(JobEnd::RolledBack(error));
        }
        Outcome::Unknown => {
            job.finish(JobEnd::Unavailable);
            connection.lose("a change failed");
        }
    }
    None
}

/// Tells the caller how its change has ended.
fn answer<T>(outcome: Outcome<T, ChangeError>, reply: Reply<T>, connection: &mut WriterConnection) {
    let result = match outcome {
        Outcome::Committed(value) => {
            connection.answered();
            Ok(value)
        }
        Outcome::RolledBack(error) => {
            connection.answered();
            Err(error)
        }
        Outcome::Unknown | Outcome::NotBegun => {
            connection.lose("a change failed");
            Err(ChangeError::StorageUnavailable)
        }
    };
    // The caller may have gone; what is committed stays committed.
    let _ = reply.send(result);
}
