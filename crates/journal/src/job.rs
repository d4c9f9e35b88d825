//! A caller's transaction on the writer connection, and its answer.

use futures_util::future::BoxFuture;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction};
use tokio::sync::oneshot;

use super::{
    command::{JobEnd, JobError, WriteJob},
    errors::ChangeError,
    notice::Notice,
};

/// Fails where an error has ended the transaction and the work has ignored it. PostgreSQL would answer the COMMIT
/// without an error, and roll back.
const STILL_OPEN: &str = "SELECT 1";

/// One call of [`super::Journal::write`].
pub(crate) struct ChangeJob<T, F> {
    work: Option<F>,
    result: Option<Result<T, ChangeError>>,
    notices: Vec<Notice>,
    reply: oneshot::Sender<Result<T, ChangeError>>,
}

impl<T, F> ChangeJob<T, F> {
    pub(crate) fn new(work: F, reply: oneshot::Sender<Result<T, ChangeError>>) -> Self {
        Self {
            work: Some(work),
            result: None,
            notices: Vec::new(),
            reply,
        }
    }
}

impl<T, F> WriteJob for ChangeJob<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a DatabaseTransaction) -> BoxFuture<'a, Result<(T, Vec<Notice>), ChangeError>> + Send,
{
    fn run<'a>(&'a mut self, transaction: &'a DatabaseTransaction) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(async move {
            let Some(work) = self.work.take() else {
                return Err(JobError::Refused);
            };
            match work(transaction).await {
                Ok((value, notices)) => match transaction.execute_unprepared(STILL_OPEN).await {
                    Ok(_) => {
                        self.result = Some(Ok(value));
                        self.notices = notices;
                        Ok(())
                    }
                    Err(error) => {
                        self.result = Some(Err(ChangeError::Database(error)));
                        Err(JobError::Refused)
                    }
                },
                Err(ChangeError::Database(error)) => {
                    self.result = Some(Err(ChangeError::Database(error.clone())));
                    Err(JobError::Database(error))
                }
                Err(error) => {
                    self.result = Some(Err(error));
                    Err(JobError::Refused)
                }
            }
        })
    }

    fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn finish(self: Box<Self>, end: JobEnd) {
        let result = match (end, self.result) {
            (JobEnd::Committed, Some(result)) | (JobEnd::RolledBack(_), Some(result @ Err(_))) => result,
            // The database has refused the commit.
            (JobEnd::RolledBack(JobError::Database(error)), Some(Ok(_))) => Err(ChangeError::Database(error)),
            _ => Err(ChangeError::StorageUnavailable),
        };
        // The caller may have gone; what is committed stays committed.
        let _ = self.reply.send(result);
    }
}
