//! One suite of promises, kept by every kind of store: memory, a folder, and S3 over HTTP.

// `cfg(test)` lets the suite unwrap.
#[cfg(test)]
mod suite;

use store::{Store, StoreUrl};
use testkit::moto::Moto;

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

/// Over HTTP, with a prefix in the bucket and without one.
#[tokio::test]
async fn s3() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("logs");
    moto.create_bucket("shared");
    for url in ["s3://logs", "s3://shared/team/a"] {
        let store = Store::open(&url.parse().unwrap(), moto.environment()).unwrap();
        suite::run(&store).await;
        let counts = store.counters().snapshot();
        assert_eq!(counts.wire_requests, counts.requests(), "each HTTP request is counted, and no other: {counts:?}");
    }
}
