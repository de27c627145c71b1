//! The agent's program: the client of rmcp, and a way to wait for what it is told of.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rmcp::model::{
    CallToolRequestParams, ResourceUpdatedNotificationParam, SubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::Notify;

/// How long an answer may take: no tool waits for the world.
const PATIENCE: Duration = Duration::from_secs(20);

/// Hears that a resource has changed.
struct Ears(Arc<Notify>);

impl ClientHandler for Ears {
    async fn on_resource_updated(
        &self,
        _: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.0.notify_one();
    }
}

/// A client.
pub(super) struct Client {
    service: RunningService<RoleClient, Ears>,
    changed: Arc<Notify>,
}

impl Client {
    /// Begins as the protocol says.
    pub(super) async fn begin(stream: DuplexStream) -> anyhow::Result<Self> {
        let changed = Arc::new(Notify::new());
        let ears = Ears(changed.clone());
        let begun = ears
            .serve_with_lifecycle(tokio::io::split(stream), ClientLifecycleMode::Initialize)
            .await;
        Ok(Self { service: begun.context("the server does not begin")?, changed })
    }

    /// What a tool answers.
    pub(super) async fn tool(&self, name: &'static str, given: Value) -> anyhow::Result<Value> {
        let Value::Object(given) = given else { bail!("{name} takes an object, not {given}") };
        let call = self.service.call_tool(CallToolRequestParams::new(name).with_arguments(given));
        let result = tokio::time::timeout(PATIENCE, call).await.context("no answer in time")??;
        let value = result.structured_content.unwrap_or_default();
        if result.is_error == Some(true) {
            bail!("{name} was refused: {value}");
        }
        Ok(value)
    }

    /// Asks to be told when this changes.
    #[expect(deprecated, reason = "what every client of before 2026-07-28 does")]
    pub(super) async fn follow(&self, uri: &str) -> anyhow::Result<()> {
        Ok(self.service.subscribe(SubscribeRequestParams::new(uri)).await?)
    }

    /// Asks `tool`, again whenever something has changed, until what it says is so.
    pub(super) async fn until(
        &self,
        what: &str,
        patience: Duration,
        (tool, given): (&'static str, Value),
        is: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let waiting = async {
            loop {
                let last = self.tool(tool, given.clone()).await?;
                if is(&last) {
                    return anyhow::Ok(last);
                }
                // What changed since it was asked is told already.
                self.changed.notified().await;
            }
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(told) => told.with_context(|| format!("the agent waited for {what}")),
            Err(_) => bail!("the agent waited {}s in vain for {what}", patience.as_secs()),
        }
    }
}
