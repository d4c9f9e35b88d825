//! What is done between two batches.

use tokio::time::timeout;

use super::{TRANSACTION_TIMEOUT, Writer, bounded};
use crate::{
    domain::id::InstallationId,
    journal::{
        ChangeError,
        change::Reply,
        command::{Attached, Job, JobEnd, StorageUnavailable},
        database::is_fault_of_the_data,
        notice::Notice,
        storage::{Connection, Outcome},
    },
};

impl Writer {
    pub(super) async fn run_job(&mut self, job: Job) {
        let Some(connection) = self.connection.clone() else {
            return;
        };
        match job {
            Job::Attach {
                installation_id,
                reply,
            } => {
                // Who asked may have gone.
                let _ = reply.send(self.attach(&*connection, installation_id).await);
            }
            Job::Installation {
                workspace,
                work,
                reply,
            } => {
                let outcome = bounded(connection.change_installation(workspace, *work)).await;
                if let Outcome::Committed(view) = &outcome {
                    (self.notices)(Notice::InstallationChanged(Box::new(view.clone())));
                }
                self.answer(outcome, reply);
            }
            Job::Change { change, reply } => {
                let outcome = match bounded(connection.change(change)).await {
                    Outcome::Committed(notice) => {
                        notice.into_iter().for_each(&self.notices);
                        Outcome::Committed(())
                    }
                    Outcome::RolledBack(error) => Outcome::RolledBack(error),
                    Outcome::Unknown => Outcome::Unknown,
                };
                self.answer(outcome, reply);
            }
            Job::Write(mut job) => match bounded(connection.run(&mut *job)).await {
                Outcome::Committed(()) => {
                    job.notices().into_iter().for_each(&self.notices);
                    job.finish(JobEnd::Committed);
                }
                Outcome::RolledBack(_) => job.finish(JobEnd::RolledBack),
                Outcome::Unknown => {
                    job.finish(JobEnd::Unavailable);
                    self.lose_connection("a change failed");
                }
            },
        }
    }

    async fn attach(
        &mut self,
        connection: &dyn Connection,
        installation_id: InstallationId,
    ) -> Result<Attached, StorageUnavailable> {
        match timeout(TRANSACTION_TIMEOUT, connection.attach(installation_id)).await {
            Ok(Ok(attachment)) => {
                self.last_generation += 1;
                let generation = self.last_generation;
                self.generations.insert(installation_id, generation);
                self.note_marks(connection, installation_id).await?;
                Ok(Attached {
                    generation,
                    attachment,
                })
            }
            Ok(Err(error)) => {
                log::error!(installation:% = installation_id, error:%; "attaching a lane failed");
                // Its own rows are no reason to take the database from everybody.
                if !is_fault_of_the_data(&error) {
                    self.lose_connection("attaching a lane failed");
                }
                Err(StorageUnavailable)
            }
            Err(_) => {
                self.lose_connection("attaching a lane took too long");
                Err(StorageUnavailable)
            }
        }
    }

    /// Whether effects of the installation are to be forgotten once its cursor has passed them.
    async fn note_marks(
        &mut self,
        connection: &dyn Connection,
        installation_id: InstallationId,
    ) -> Result<(), StorageUnavailable> {
        match timeout(TRANSACTION_TIMEOUT, connection.has_marks(installation_id)).await {
            Ok(Ok(true)) => drop(self.marked.insert(installation_id)),
            Ok(Ok(false)) => drop(self.marked.remove(&installation_id)),
            Ok(Err(_)) | Err(_) => {
                self.lose_connection("attaching a lane failed");
                return Err(StorageUnavailable);
            }
        }
        Ok(())
    }

    /// Tells who asked for a change how it ended.
    fn answer<T>(&mut self, outcome: Outcome<T, ChangeError>, reply: Reply<T>) {
        // The caller may have gone; what is committed stays so.
        let _ = match outcome {
            Outcome::Committed(value) => reply.send(Ok(value)),
            Outcome::RolledBack(error) => reply.send(Err(error)),
            Outcome::Unknown => {
                self.lose_connection("a change failed");
                reply.send(Err(ChangeError::StorageUnavailable))
            }
        };
    }
}
