//! What these tests of the function share: its process, its variables, the stores it writes to.

use store::Store;
use testkit::lambda::Lambda;
use testkit::moto::Moto;

/// Whatever the clock says when these tests run, the lines are of that time.
pub(crate) const YAML: &str = "auth_enabled: false\nlogbarn: {merge_objects_min: 3}";

/// The time now, milliseconds since 1970: the process under test asks the clock.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Starts the process.
pub(crate) async fn start(variables: &[(String, String)]) -> Lambda {
    Lambda::start(env!("CARGO_BIN_EXE_ingest-fn"), variables).await
}

/// The variables of a function on this store.
pub(crate) fn variables(store: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let fixed = [
        ("LOGBARN_STORE", store),
        ("LOGBARN_CONFIG", YAML),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        // Nobody is there: what nobody answers must not be waited for.
        ("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9"),
    ];
    fixed.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A folder as a store: its URL, and a way to look into it.
pub(crate) fn folder() -> (tempfile::TempDir, String, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().join("store").display());
    let store = Store::open(&url.parse().expect("a URL"), []).expect("opens");
    (folder, url, store)
}

/// A bucket of moto as a store, past whatever door the function has to it.
pub(crate) fn bucket(moto: &Moto) -> Store {
    Store::open(&"s3://logs/x".parse().expect("a URL"), moto.environment()).expect("opens")
}
