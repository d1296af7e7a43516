//! The real binary under a Runtime API of this process, frozen behind each answer as AWS freezes it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use lambda_simulator::process::{ManagedProcess, ProcessConfig, ProcessRole};
use lambda_simulator::{FreezeMode, InvocationState, InvocationStatus, Simulator};
use serde_json::Value;
use store::Store;
use testkit::moto::Moto;

/// How long anything may take here before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a function may take, as it is told: long enough for a merge under load.
const INVOCATION: Duration = Duration::from_secs(60);
/// Whatever the clock says when these tests run, the lines are of that time.
pub(crate) const YAML: &str = "auth_enabled: false\nlogbarn: {merge_objects_min: 3}";

/// The time now, milliseconds since 1970: the process under test asks the clock.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A function's process. Gone when dropped.
pub(crate) struct Lambda {
    simulator: Simulator,
    process: ManagedProcess,
}

impl Lambda {
    /// Starts the process.
    pub(crate) async fn start(variables: &[(String, String)]) -> Self {
        let simulator = Simulator::builder()
            .function_name("ingest")
            .freeze_mode(FreezeMode::Process)
            .invocation_timeout(INVOCATION)
            .build()
            .await
            .expect("a Runtime API");
        let binary = ProcessConfig::new(env!("CARGO_BIN_EXE_ingest-fn"), ProcessRole::Runtime).inherit_stdio(false);
        let configured = variables.iter().fold(binary, |process, (name, value)| process.env(name, value));
        let process = simulator.spawn_process_with_config(configured).expect("the binary starts");
        Lambda { simulator, process }
    }

    /// Invokes the function; gives its answer once the process is frozen behind it.
    pub(crate) async fn invoke(&self, event: &Value) -> Result<Value, String> {
        let id = self.begin(event).await;
        let state = self.ended(&id).await;
        eventually(&self.simulator, async || self.simulator.is_frozen()).await;
        match state.error {
            Some(error) => Err(error.error_message),
            None => Ok(state.response.expect("an answer or an error").payload),
        }
    }

    /// Invokes the function and waits for nothing.
    pub(crate) async fn begin(&self, event: &Value) -> String {
        self.simulator.enqueue_payload(event.clone()).await
    }

    /// Ends the process at once.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    async fn ended(&self, id: &str) -> InvocationState {
        let state = async || self.simulator.get_invocation_state(id).await.expect("it was begun");
        let has_ended =
            async || !matches!(state().await.status, InvocationStatus::Pending | InvocationStatus::InProgress);
        eventually(&self.simulator, has_ended).await;
        state().await
    }
}

/// Waits for a condition.
async fn eventually<F: Future<Output = bool>>(simulator: &Simulator, condition: impl Fn() -> F) {
    simulator.wait_for(condition, PATIENCE).await.expect("in time");
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

/// What a function asked of the Lambda API that stands here in place of AWS.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Value>>>);

impl Told {
    /// Starts the API; gives its address too.
    pub(crate) async fn start() -> (Self, String) {
        let told = Told::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let api = Router::new().fallback(accept).with_state(told.clone());
        tokio::spawn(axum::serve(listener, api).into_future());
        (told, endpoint)
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn accept(State(told): State<Told>, body: Bytes) -> StatusCode {
    let event = serde_json::from_slice(&body).expect("JSON");
    told.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    StatusCode::ACCEPTED
}
