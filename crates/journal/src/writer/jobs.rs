//! What is done between two batches.

use tokio::time::timeout;

use super::{
    Writer,
    bounds::{TRANSACTION_TIMEOUT, bounded},
};
use crate::{
    change::Reply,
    command::{Attached, Job, JobEnd},
    errors::{ChangeError, StorageUnavailable},
    gather::QueuedJob,
    notice::Notice,
    storage::{Connection, Outcome},
};
use pointsman_domain::id::InstallationId;

/// Why a lane is not attached.
enum NotAttached {
    /// The fault is its own.
    Refused,
    /// The connection is not to be used any more.
    Lost(&'static str),
}

impl Writer {
    /// Does the job. One of which nothing was begun because the connection is gone is done on the next, once.
    pub(super) async fn run_job(&mut self, QueuedJob { job, again }: QueuedJob) {
        let Some(connection) = self.connection.clone() else {
            return self.gathered.begin_again(job);
        };
        let Some(job) = self.try_job(&*connection, job).await else {
            return;
        };
        if again {
            job.refuse();
        } else {
            self.gathered.begin_again(job);
        }
        self.lose_connection("a change could not begin");
    }

    /// Does the job and answers it, or returns it where nothing of it was begun.
    async fn try_job(&mut self, connection: &dyn Connection, job: Job) -> Option<Job> {
        match job {
            Job::Attach {
                installation_id,
                reply,
            } => match self.attach(connection, installation_id).await {
                Ok(attached) => {
                    // Who asked may have gone.
                    let _ = reply.send(Ok(attached));
                }
                Err(NotAttached::Refused) => {
                    let _ = reply.send(Err(StorageUnavailable));
                }
                // It only reads.
                Err(NotAttached::Lost(cause)) => {
                    log::error!(installation:% = installation_id; "{cause}");
                    return Some(Job::Attach {
                        installation_id,
                        reply,
                    });
                }
            },
            Job::Installation {
                workspace,
                work,
                reply,
            } => {
                let changed = bounded(connection.change_installation(workspace, (*work).clone())).await;
                match changed {
                    Outcome::NotBegun => {
                        return Some(Job::Installation {
                            workspace,
                            work,
                            reply,
                        });
                    }
                    Outcome::Committed(view) => {
                        let notice = Notice::InstallationChanged(Box::new(view.clone()));
                        (self.notices)(notice);
                        self.answer(Outcome::Committed(view), reply);
                    }
                    outcome => self.answer(outcome, reply),
                }
            }
            Job::Change { change, reply } => match bounded(connection.change(change.clone())).await {
                Outcome::NotBegun => return Some(Job::Change { change, reply }),
                Outcome::Committed(notice) => {
                    notice.into_iter().for_each(&self.notices);
                    self.answer(Outcome::Committed(()), reply);
                }
                Outcome::RolledBack(error) => self.answer(Outcome::RolledBack(error), reply),
                Outcome::Unknown => self.answer(Outcome::Unknown, reply),
            },
            Job::Write(mut job) => match bounded(connection.run(&mut *job)).await {
                Outcome::NotBegun => return Some(Job::Write(job)),
                Outcome::Committed(()) => {
                    self.outage.over();
                    job.notices().into_iter().for_each(&self.notices);
                    job.finish(JobEnd::Committed);
                }
                Outcome::RolledBack(_) => {
                    self.outage.over();
                    job.finish(JobEnd::RolledBack);
                }
                Outcome::Unknown => {
                    job.finish(JobEnd::Unavailable);
                    self.lose_connection("a change failed");
                }
            },
        }
        None
    }

    async fn attach(
        &mut self,
        connection: &dyn Connection,
        installation_id: InstallationId,
    ) -> Result<Attached, NotAttached> {
        match bounded(connection.attach(installation_id)).await {
            Outcome::Committed(attachment) => {
                self.last_generation += 1;
                let generation = self.last_generation;
                self.generations.insert(installation_id, generation);
                self.note_marks(connection, installation_id).await?;
                Ok(Attached {
                    generation,
                    attachment,
                })
            }
            // Its own rows are no reason to take the database from everybody.
            Outcome::RolledBack(error) => {
                log::error!(installation:% = installation_id, error:%; "attaching a lane is refused");
                Err(NotAttached::Refused)
            }
            Outcome::NotBegun | Outcome::Unknown => Err(NotAttached::Lost("attaching a lane failed")),
        }
    }

    /// Whether effects of the installation are to be forgotten once its cursor has passed them.
    async fn note_marks(
        &mut self,
        connection: &dyn Connection,
        installation_id: InstallationId,
    ) -> Result<(), NotAttached> {
        match timeout(TRANSACTION_TIMEOUT, connection.has_marks(installation_id)).await {
            Ok(Ok(true)) => drop(self.marked.insert(installation_id)),
            Ok(Ok(false)) => drop(self.marked.remove(&installation_id)),
            Ok(Err(_)) | Err(_) => return Err(NotAttached::Lost("the marks of a lane cannot be read")),
        }
        Ok(())
    }

    /// Tells who asked for a change how it ended.
    fn answer<T>(&mut self, outcome: Outcome<T, ChangeError>, reply: Reply<T>) {
        // The caller may have gone; what is committed stays so.
        let _ = match outcome {
            Outcome::Committed(value) => {
                self.outage.over();
                reply.send(Ok(value))
            }
            Outcome::RolledBack(error) => {
                self.outage.over();
                reply.send(Err(error))
            }
            Outcome::Unknown | Outcome::NotBegun => {
                self.lose_connection("a change failed");
                reply.send(Err(ChangeError::StorageUnavailable))
            }
        };
    }
}
