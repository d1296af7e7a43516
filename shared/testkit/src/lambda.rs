//! A function's real binary as Lambda runs it: a process that is invoked, frozen behind each answer, invoked again, and killed.
//!
//! In: a binary, its variables, events. Out: its answers. [`Lambda`] is the simulator's Runtime API, which freezes processes and takes
//! answers of at most 6 MB, as Lambda does; [`Streaming`] is one of our own that takes answers as streams, which the simulator does not.
//! [`Told`] stands in place of the API by which functions invoke functions.

use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use lambda_simulator::process::{ManagedProcess, ProcessConfig, ProcessRole};
use lambda_simulator::{FreezeMode, InvocationState, InvocationStatus, Simulator};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// How long anything may take here before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a function may take, as it is told: long enough for a merge under load.
const INVOCATION: Duration = Duration::from_secs(60);
/// Between the head of a streamed answer and its body.
const PRELUDE_END: [u8; 8] = [0; 8];

/// A function's process. Gone when dropped.
pub struct Lambda {
    simulator: Simulator,
    process: ManagedProcess,
}

impl Lambda {
    /// Starts the process.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(binary: &str, variables: &[(String, String)]) -> Self {
        let simulator = Simulator::builder()
            .function_name("function")
            .freeze_mode(FreezeMode::Process)
            .invocation_timeout(INVOCATION)
            .build()
            .await
            .expect("a Runtime API");
        let process = ProcessConfig::new(binary, ProcessRole::Runtime).inherit_stdio(false);
        let configured = variables.iter().fold(process, |process, (name, value)| process.env(name, value));
        let process = simulator.spawn_process_with_config(configured).expect("the binary starts");
        Lambda { simulator, process }
    }

    /// Invokes the function; gives its answer once the process is frozen behind it.
    ///
    /// # Errors
    /// What the function says.
    ///
    /// # Panics
    /// If it says nothing.
    pub async fn invoke(&self, event: &Value) -> Result<Value, String> {
        let id = self.begin(event).await;
        let state = self.ended(&id).await;
        eventually(&self.simulator, async || self.simulator.is_frozen()).await;
        match state.error {
            Some(error) => Err(error.error_message),
            None => Ok(state.response.expect("an answer or an error").payload),
        }
    }

    /// Invokes the function and waits for nothing.
    pub async fn begin(&self, event: &Value) -> String {
        self.simulator.enqueue_payload(event.clone()).await
    }

    /// Ends the process at once.
    ///
    /// # Panics
    /// If it has ended before.
    pub fn kill(mut self) {
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

/// What a binary says that ends before it asks for its first event.
///
/// # Panics
/// If it does not start, or ends well.
pub fn refused(binary: &str, variables: &[(String, String)]) -> String {
    let process = Command::new(binary)
        .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
        .env_remove("AWS_REGION")
        .envs(variables.iter().cloned())
        .output()
        .expect("it starts");
    assert!(!process.status.success(), "{variables:?}: it ended well");
    String::from_utf8_lossy(&process.stderr).into_owned()
}

/// A function's process under a Runtime API that takes streams. Gone when dropped.
pub struct Streaming {
    process: Child,
    events: mpsc::UnboundedSender<Value>,
    answers: mpsc::UnboundedReceiver<Bytes>,
}

#[derive(Clone)]
struct Api {
    events: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>>,
    answers: mpsc::UnboundedSender<Bytes>,
}

impl Streaming {
    /// Starts the process.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(binary: &str, variables: &[(String, String)]) -> Self {
        let ((events, next), (answered, answers)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let api = Api { events: Arc::new(tokio::sync::Mutex::new(next)), answers: answered };
        let invocation = "/2018-06-01/runtime/invocation";
        let router = Router::new()
            .route(&format!("{invocation}/next"), get(next_event))
            .route(&format!("{invocation}/{{id}}/response"), post(take_answer))
            .layer(DefaultBodyLimit::disable())
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(axum::serve(listener, router).into_future());
        let process = Command::new(binary)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .envs([("AWS_LAMBDA_FUNCTION_NAME", "function"), ("AWS_LAMBDA_FUNCTION_VERSION", "1")])
            .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")])
            .envs(variables.iter().cloned())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Streaming { process, events, answers }
    }

    /// Invokes the function; gives the head and the body of the answer.
    ///
    /// # Panics
    /// If there is none, or if it is no stream.
    pub async fn invoke(&mut self, event: &Value) -> (Value, Vec<u8>) {
        self.events.send(event.clone()).expect("the API runs");
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await.expect("in time").expect("the API runs");
        let end =
            answer.windows(PRELUDE_END.len()).position(|bytes| bytes == PRELUDE_END).expect("a stream has a head");
        let head = serde_json::from_slice(&answer[..end]).expect("a head is JSON");
        (head, answer[end + PRELUDE_END.len()..].to_vec())
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

async fn next_event(State(api): State<Api>) -> Response {
    let Some(event) = api.events.lock().await.recv().await else { return StatusCode::GONE.into_response() };
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:function"),
    ];
    (headers, event.to_string()).into_response()
}

async fn take_answer(State(api): State<Api>, body: Bytes) -> StatusCode {
    // Nobody may be waiting any more.
    let _ = api.answers.send(body);
    StatusCode::ACCEPTED
}

/// What a function asked of the Lambda API that stands here in place of AWS.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<Value>>>);

impl Told {
    /// Starts the API; gives its address too.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start() -> (Self, String) {
        let told = Told::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let api = Router::new().fallback(accept).with_state(told.clone());
        tokio::spawn(axum::serve(listener, api).into_future());
        (told, endpoint)
    }

    /// Everything since the last call.
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn accept(State(told): State<Told>, body: Bytes) -> StatusCode {
    let Ok(event) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    told.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    StatusCode::ACCEPTED
}
