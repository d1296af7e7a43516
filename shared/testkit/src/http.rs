//! An HTTP client for tests: gives up after a while, and has its TLS provider chosen.

use std::sync::Once;
use std::time::Duration;

/// How long any one request of a test may take.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// A client. The workspace builds `reqwest` without a TLS provider of its own; ring is installed once a process.
pub fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Somebody else in the process may have been first, with the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().timeout(REQUEST_MAX).build().expect("a client with the defaults can be built")
}
