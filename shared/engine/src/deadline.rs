//! When a question is given up.

use crate::{Error, Limits};

/// Does work within the time that a tenant's query may take; zero is as long as it takes.
pub(crate) async fn within<T>(limits: &Limits, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    if limits.query_timeout.is_zero() {
        return work.await;
    }
    tokio::time::timeout(limits.query_timeout, work).await.map_err(|_| Error::Timeout)?
}
