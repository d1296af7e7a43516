//! One suite of promises, kept by every kind of store: memory, a folder, and S3 over HTTP.

// `cfg(test)` lets the suite unwrap.
#[cfg(test)]
mod suite;

use store::{Store, StoreUrl};

fn open(url: &str) -> Store {
    Store::open(&url.parse().expect("a store URL"), []).expect("opens")
}

#[tokio::test]
async fn memory() {
    suite::run(&open("memory:")).await;
}

#[tokio::test]
async fn folder() {
    let folder = tempfile::tempdir().unwrap();
    suite::run(&Store::open(&StoreUrl::folder(folder.path()).unwrap(), []).unwrap()).await;
}
