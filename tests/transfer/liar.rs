//! A holder that speaks the protocol by its own code and lies where it is told to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use blake3::hazmat::HasherExt;
use earnest::market::{Address, EndpointId};
use earnest::transfer::ALPN;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt, presets};
use iroh::{RelayMode, SecretKey};
use tokio::task::JoinSet;

pub(crate) const GROUP: usize = 256 * 1024;

/// What a lane does after its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Finish,
    Reset,
    Hangup,
    Stall,
}

/// What it serves, and how.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// What the outline is made of.
    pub(crate) described: Vec<u8>,
    /// What is sent.
    pub(crate) sent: Vec<u8>,
    /// What it says the size is.
    pub(crate) size: u64,
    /// Bytes from here on are not sent.
    pub(crate) cut: u64,
    pub(crate) end: End,
    /// Bytes after the file's end, on every lane.
    pub(crate) extra: usize,
    /// Whether it says anything at all.
    pub(crate) mute: bool,
}

impl Script {
    pub(crate) fn honest(file: &[u8]) -> Self {
        Self {
            described: file.to_vec(),
            sent: file.to_vec(),
            size: file.len() as u64,
            cut: file.len() as u64,
            end: End::Finish,
            extra: 0,
            mute: false,
        }
    }
}

/// What happened under one script.
#[derive(Default)]
pub(crate) struct Seen {
    /// The first byte that each lane was asked for.
    pub(crate) starts: Mutex<Vec<u64>>,
    pub(crate) bytes_sent: AtomicU64,
}

pub(crate) struct Liar {
    endpoint: iroh::Endpoint,
    script: Mutex<(Script, Arc<Seen>)>,
}

impl Liar {
    pub(crate) async fn bind(script: Script, tasks: &mut JoinSet<()>) -> Arc<Self> {
        // A peer that is two places at once would confuse whoever knows the other one.
        static KEYS: AtomicU64 = AtomicU64::new(0);
        let mut key = [66; 32];
        key[..8].copy_from_slice(&KEYS.fetch_add(1, Ordering::SeqCst).to_le_bytes());
        let endpoint = iroh::Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .secret_key(SecretKey::from_bytes(&key))
            .alpns(vec![ALPN.to_vec()])
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")
            .unwrap()
            .bind()
            .await
            .unwrap();
        let liar = Arc::new(Self { endpoint, script: Mutex::new((script, Arc::default())) });
        let me = liar.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(incoming) = me.endpoint.accept().await {
                let me = me.clone();
                connections.spawn(async move {
                    let Ok(connection) = incoming.await else { return };
                    let (script, seen) = me.script.lock().unwrap().clone();
                    let mut streams = JoinSet::new();
                    while let Ok((send, recv)) = connection.accept_bi().await {
                        let (script, seen) = (script.clone(), seen.clone());
                        streams.spawn(stream(script, seen, connection.clone(), send, recv));
                    }
                });
            }
        });
        liar
    }

    pub(crate) fn address(&self) -> Address {
        Address {
            endpoint: EndpointId(*self.endpoint.id().as_bytes()),
            direct: self.endpoint.bound_sockets().iter().map(ToString::to_string).collect(),
            relay: None,
        }
    }

    pub(crate) fn now(&self, script: Script) {
        *self.script.lock().unwrap() = (script, Arc::default());
    }

    /// What happened since.
    pub(crate) fn seen(&self) -> Arc<Seen> {
        self.script.lock().unwrap().1.clone()
    }
}

async fn stream(
    script: Script,
    seen: Arc<Seen>,
    connection: Connection,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let mut request = [0; 43];
    if recv.read_exact(&mut request).await.is_err() || script.mute {
        connection.closed().await;
        return;
    }
    if request[0] == 0 {
        let mut answer = vec![0];
        answer.extend(script.size.to_le_bytes());
        answer.extend(outline(&script.described));
        let _ = send.write_all(&answer).await;
        let _ = send.finish();
        let _ = send.stopped().await;
        return;
    }
    let start = u64::from_le_bytes(request[33..41].try_into().unwrap());
    seen.starts.lock().unwrap().push(start);
    let (lanes, lane) = (usize::from(request[41]), usize::from(request[42]));
    let mut bytes = Vec::new();
    let mut whole = true;
    for group in (start as usize / GROUP..script.sent.len().div_ceil(GROUP))
        .filter(|group| group % lanes == lane)
    {
        let begin = (group * GROUP).max(start as usize);
        let end = ((group + 1) * GROUP).min(script.sent.len());
        let until = end.min(script.cut as usize);
        bytes.extend(script.sent.get(begin..until).unwrap_or_default());
        if until < end {
            whole = false;
            break;
        }
    }
    seen.bytes_sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    bytes.extend(std::iter::repeat_n(7, script.extra));
    let _ = send.write_all(&[0]).await;
    let _ = send.write_all(&bytes).await;
    match script.end {
        _ if whole => {
            let _ = send.finish();
            let _ = send.stopped().await;
        }
        End::Finish => {
            let _ = send.finish();
            let _ = send.stopped().await;
        }
        End::Reset => {
            let _ = send.reset(VarInt::from_u32(9));
        }
        End::Hangup => connection.close(VarInt::from_u32(9), b""),
        End::Stall => {
            connection.closed().await;
        }
    }
}

/// The chaining value of every group, from the crate's documentation alone.
pub(crate) fn outline(file: &[u8]) -> Vec<u8> {
    if file.len() <= GROUP {
        return blake3::hash(file).as_bytes().to_vec();
    }
    let value = |(index, group): (usize, &[u8])| {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset((index * GROUP) as u64).update(group);
        hasher.finalize_non_root()
    };
    file.chunks(GROUP).enumerate().flat_map(value).collect()
}
