//! Objects of other buckets: what a notification of S3 speaks of.
//!
//! In: a bucket's name, the variables of the environment, a key. Out: the object's bytes as they come, or an error that names the
//! object. Reads only, and never looks into the store itself.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::Error;
use crate::open::s3;

/// A bucket that is not the store.
#[derive(Debug, Clone)]
pub struct ForeignBucket(Arc<dyn ObjectStore>);

impl ForeignBucket {
    /// Names a bucket; `environment` gives the `AWS_*` variables. Asks for nothing yet.
    pub fn open(bucket: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        Ok(ForeignBucket(s3(bucket, environment, Arc::default())?))
    }

    /// An object, piece by piece.
    pub async fn get(&self, key: &str) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let path = Path::parse(key).map_err(|why| Error::invalid(format!("the key {key:?}: {why}")))?;
        let object = self.0.get(&path).await.map_err(|why| Error::from_store(key, why))?;
        let key = key.to_owned();
        Ok(object.into_stream().map_err(move |why| Error::from_store(&key, why)).boxed())
    }
}
