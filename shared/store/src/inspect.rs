//! Shows an object to people.
//!
//! In: a key as somebody typed it. Out: what the object is and holds, decoded to its last byte, so that an error here means that a
//! query would meet it too. The text is not a format.

use xxhash_rust::xxh3::xxh3_128;

use crate::paths::{self, Deletion, Key, Object};
use crate::{Error, Store, deletes, manifest};

impl Key {
    /// Whether an object of this name may hold these bytes: one that is named by its content must hold that.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        match self.object() {
            Some(Object::Merged(named) | Object::Catalog(named)) => xxh3_128(bytes) == named.content_id,
            _ => true,
        }
    }
}

impl Store {
    /// Describes a segment, a manifest or a delete request.
    pub async fn inspect(&self, key: &str) -> Result<String, Error> {
        let key = Key::parse(key)?;
        let bytes = self.read(&key).await?;
        let described = match key.object() {
            Some(Object::Manifest { version }) => manifest::describe(&bytes, version),
            Some(_) if !key.fits(&bytes) => Err("its name is not the hash of its content".to_string()),
            Some(Object::Catalog(_)) => Ok(format!("a catalog of {} bytes; the manifest says of what\n", bytes.len())),
            Some(_) => segment::describe(&bytes).map_err(|why| why.to_string()),
            None => match paths::deletion(key.path()) {
                Some(Deletion::Request(delete)) => deletes::describe(&bytes, delete),
                _ => Ok("the delete request of this name is cancelled\n".to_owned()),
            },
        };
        described.map_err(|why| Error::corrupt(&key, why))
    }
}
