//! An agent: the client of rmcp, over the pipes of a real `earnest mcp`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, ClientConfig, ProtocolVersion, ResourceUpdatedNotificationParam,
    SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RunningService, Subscription};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::peer::{Peer, text, until};

/// Hears of changes.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Vec<String>>>);

impl ClientHandler for Ears {
    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.0.lock().unwrap().push(params.uri);
    }
}

pub(crate) struct Agent {
    runtime: Runtime,
    client: RunningService<RoleClient, Ears>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    /// Starts `earnest mcp` beside the owner of this person's directory.
    pub(crate) fn start(peer: &Peer, flags: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let mut command = peer.home.command("mcp");
        command.args(peer.flags().split(' ')).args(flags);
        let ears = Ears::default();
        let heard = ears.0.clone();
        let client = runtime.block_on(async {
            let child = TokioChildProcess::new(tokio::process::Command::from(command)).unwrap();
            ears.serve_with_lifecycle(child, ClientLifecycleMode::Initialize).await.unwrap()
        });
        Self { runtime, client, heard }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let tools = self.runtime.block_on(self.client.list_all_tools()).unwrap();
        tools.into_iter().map(|tool| tool.name.into_owned()).collect()
    }

    fn call(&self, tool: &str, given: Value) -> (bool, Value) {
        let Value::Object(given) = given else { panic!("arguments are an object") };
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(given);
        let call = self.client.call_tool(params);
        let result = self
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(30), call).await })
            .expect("no call blocks")
            .unwrap();
        (result.is_error == Some(true), result.structured_content.unwrap())
    }

    /// What a tool answers that does what is asked.
    pub(crate) fn done(&self, tool: &str, given: Value) -> Value {
        let (wrong, value) = self.call(tool, given);
        assert!(!wrong, "{tool}: {value}");
        value
    }

    /// Why it does not.
    pub(crate) fn refused(&self, tool: &str, given: Value) -> Value {
        let (wrong, value) = self.call(tool, given);
        assert!(wrong, "{tool}: {value}");
        value
    }

    pub(crate) fn jobs(&self) -> Vec<Value> {
        self.done("list_jobs", json!({"all": true}))["jobs"].as_array().unwrap().clone()
    }

    pub(crate) fn phase(&self, job: &str) -> String {
        text(&self.done("job_status", json!({"job": job})), "phase")
    }

    /// Whether the market offers this tool on the job now.
    pub(crate) fn can(&self, job: &str, tool: &str) -> bool {
        let status = self.done("job_status", json!({"job": job}));
        status["can"].as_array().unwrap().iter().any(|can| can == tool)
    }

    /// Follows a resource.
    #[expect(deprecated, reason = "what every client of before 2026-07-28 does")]
    pub(crate) fn follow(&self, uri: &str) {
        let params = rmcp::model::SubscribeRequestParams::new(uri);
        self.runtime.block_on(self.client.subscribe(params)).unwrap();
    }

    /// Waits until it was told of a change.
    pub(crate) fn told(&self, uri: &str) {
        until("a change is told", || {
            let mut heard = self.heard.lock().unwrap();
            let before = heard.len();
            heard.retain(|known| known != uri);
            heard.len() < before
        });
    }

    pub(crate) fn end(self) {
        self.runtime.block_on(self.client.cancel()).unwrap();
    }
}

/// A client of the newest protocol, which asks for changes in another way: hears of one, and goes.
pub(crate) fn listens(peer: &Peer, uri: &str, change: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut command = peer.home.command("mcp");
    command.args(peer.flags().split(' '));
    runtime.block_on(async {
        let child = TokioChildProcess::new(tokio::process::Command::from(command)).unwrap();
        let newest = vec![ProtocolVersion::V_2026_07_28];
        let lifecycle = ClientLifecycleMode::Discover { preferred_versions: newest };
        let client = ClientConfig::default().serve_with_lifecycle(child, lifecycle).await.unwrap();
        let filter = SubscriptionFilter::builder().resource_subscription(uri).build();
        let mut changes: Subscription = client.listen(filter).await.unwrap();
        change();
        let told = tokio::time::timeout(Duration::from_secs(60), changes.next()).await;
        assert!(matches!(told, Ok(Ok(Some(_)))), "a change is told");
        client.cancel().await.unwrap();
    });
}
