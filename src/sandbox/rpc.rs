//! The sandbox chain as Bitcoin Core's JSON-RPC: HTTP/1.1 on loopback, Basic authentication.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bitcoin::hashes::{Hash, sha256};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use super::chain::Chain;
use super::client::{Endpoint, Fault};
use super::faucet::{Faucet, write_private};
use super::methods::{self, Params, RpcError};

/// The largest request that is read: a block of the greatest weight in hexadecimal, and a little.
const MAX_BODY: usize = 8_100_000;
/// Where even reading and dropping ends.
const MAX_DRAINED: usize = 8 * MAX_BODY;
/// Most calls in one batch.
const MAX_BATCH: usize = 1_000;
/// The only user.
const USER: &str = "earnest";

/// A listening server. Dropped, it takes no more calls, ends its connections and closes the chain.
pub struct RpcServer {
    endpoint: Endpoint,
    chain: Chain,
    end: watch::Sender<bool>,
    _task: JoinHandle<()>,
}

impl fmt::Debug for RpcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcServer").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        // The nodes keep their connections open: cutting the listener alone would leave them
        // talking to a chain that is over. The task ends by itself when the last call is answered.
        self.end.send_replace(true);
        self.chain.close();
    }
}

struct Shared {
    chain: Chain,
    faucet: Arc<Mutex<Faucet>>,
    authorization: sha256::Hash,
}

impl RpcServer {
    /// Listens on loopback at `port`; 0 takes any free one, which `endpoint` tells.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(
        chain: Chain,
        faucet: Arc<Mutex<Faucet>>,
        port: u16,
        password: String,
    ) -> Result<Self, Fault> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let fail = |e: std::io::Error| Fault::Setup(format!("{at}: {e}"));
        let listener = tokio::net::TcpListener::bind(at).await.map_err(fail)?;
        let port = listener.local_addr().map_err(fail)?.port();
        let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{password}")));
        let authorization = sha256::Hash::hash(expected.as_bytes());
        let shared = Arc::new(Shared { chain: chain.clone(), faucet, authorization });
        let app = Router::new().fallback(serve).with_state(shared);
        let endpoint =
            Endpoint { host: Ipv4Addr::LOCALHOST.to_string(), port, user: USER.into(), password };
        let (end, mut ended) = watch::channel(false);
        let over = async move {
            // An error means that the sender is gone, which is an end as well.
            let _ = ended.wait_for(|over| *over).await;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the server ends its task when it is dropped"
        )]
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(over).await {
                tracing::error!(%error, "the sandbox chain's RPC stopped");
            }
        });
        Ok(Self { endpoint, chain, end, _task: task })
    }

    /// Where to call, and with which credentials.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// A fresh password of 128 bits.
pub fn random_password() -> String {
    #[expect(clippy::disallowed_methods, reason = "the sandbox's dice: a loopback password")]
    let bytes = rand::random::<[u8; 16]>();
    hex::encode(bytes)
}

/// The password kept in `dir`, made when there is none, so that a node's settings stay good.
///
/// # Errors
/// The file cannot be read or written.
pub fn open_password(dir: &Path) -> Result<String, Fault> {
    let path = dir.join("rpc.password");
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => {
            let password = random_password();
            std::fs::create_dir_all(dir)
                .and_then(|()| write_private(&path, password.as_bytes()))
                .map_err(|e| Fault::Setup(format!("{}: {e}", path.display())))?;
            Ok(password)
        }
    }
}

async fn serve(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response {
    // Comparing hashes takes the same time whatever was sent.
    let sent = headers.get(header::AUTHORIZATION).map_or(&b""[..], |v| v.as_bytes());
    if sha256::Hash::hash(sent) != shared.authorization {
        let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"jsonrpc\"")];
        return (StatusCode::UNAUTHORIZED, ask).into_response();
    }
    let bytes = match read(body).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let error =
                RpcError::new(-32600, format!("a request may have {MAX_BODY} bytes at most"));
            return reply(StatusCode::PAYLOAD_TOO_LARGE, &envelope(&Value::Null, Err(error)));
        }
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Array(batch)) if batch.len() <= MAX_BATCH => {
            let mut answers = Vec::with_capacity(batch.len());
            for request in &batch {
                answers.push(answer(&shared, request).await.1);
            }
            reply(StatusCode::OK, &Value::Array(answers))
        }
        Ok(request) => {
            let (status, value) = answer(&shared, &request).await;
            reply(status, &value)
        }
        Err(_) => {
            let error = RpcError::new(-32700, "Parse error");
            reply(StatusCode::INTERNAL_SERVER_ERROR, &envelope(&Value::Null, Err(error)))
        }
    }
}

/// The whole body, or nothing when it is too large. What is too much is read and dropped, up to a
/// bound, because a caller that is cut off while it sends never sees the answer.
async fn read(body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part?;
        seen += part.len();
        if seen > MAX_DRAINED {
            break;
        }
        if seen <= MAX_BODY {
            bytes.extend_from_slice(&part);
        } else {
            bytes = Vec::new();
        }
    }
    Ok((seen <= MAX_BODY).then_some(bytes))
}

async fn answer(shared: &Arc<Shared>, request: &Value) -> (StatusCode, Value) {
    let id = request.get("id").unwrap_or(&Value::Null);
    let result = match request.get("method").and_then(Value::as_str) {
        Some("sendtoaddress") => send_to_address(shared, request).await,
        Some(method) => {
            let (chain, method) = (shared.chain.clone(), method.to_owned());
            let params = request.get("params").cloned().unwrap_or_default();
            // Off the worker threads: a long run of mining must not hold up the other callers.
            tokio::task::spawn_blocking(move || methods::run(&chain, &method, &params))
                .await
                .unwrap_or_else(|_| Err(RpcError::new(-32603, "the call failed inside")))
        }
        None => Err(RpcError::new(-32600, "Missing method")),
    };
    let status = match &result {
        Ok(_) => StatusCode::OK,
        Err(RpcError { code: -32600, .. }) => StatusCode::BAD_REQUEST,
        Err(RpcError { code: -32601, .. }) => StatusCode::NOT_FOUND,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, envelope(id, result))
}

/// Core's wallet call, paid by the faucet.
async fn send_to_address(shared: &Arc<Shared>, request: &Value) -> Result<Value, RpcError> {
    let params = Params::new(request.get("params").unwrap_or(&Value::Null))?;
    let payment = (params.address(0)?, params.amount(1)?);
    match shared.faucet.lock().await.pay(&[payment]).await {
        Ok(txid) => Ok(json!(txid)),
        Err(Fault::Refused(error)) => Err(error),
        // Core's code for a wallet without funds.
        Err(other @ Fault::Dry { .. }) => Err(RpcError::new(-6, other.to_string())),
        Err(other) => Err(RpcError::new(-4, other.to_string())),
    }
}

fn envelope(id: &Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({"result": result, "error": null, "id": id}),
        Err(e) => {
            json!({"result": null, "error": {"code": e.code, "message": e.message}, "id": id})
        }
    }
}

fn reply(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
