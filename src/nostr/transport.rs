//! The socket under a relay: no message is read that is larger than any we would take, and a relay
//! that a stranger named is not looked for inside our own network.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_wsocket::{ConnectionMode, WebSocket};
use futures::{SinkExt, StreamExt, TryStreamExt};
use nostr_relay_pool::transport::error::TransportError;
use nostr_relay_pool::transport::websocket::{
    DefaultWebsocketTransport, WebSocketSink, WebSocketStream, WebSocketTransport,
};
use nostr_sdk::{RelayUrl, Url};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// The largest WebSocket message that is read: twice the largest event, so that a little too much is
/// told from an attack.
const MAX_MESSAGE: usize = 256 * 1024;

/// Opens sockets whose messages are capped before they are buffered (the library's own default is
/// 64 MiB). Through a proxy it is the library's transport, with the library's cap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capped {
    /// Whether loopback and private addresses may be connected to.
    pub(super) private: bool,
}

#[derive(Debug, thiserror::Error)]
enum Unreachable {
    #[error("{0}")]
    Address(String),
    #[error("it did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("{0}")]
    Handshake(#[from] tokio_tungstenite::tungstenite::Error),
}

impl WebSocketTransport for Capped {
    fn support_ping(&self) -> bool {
        true
    }

    fn connect<'a>(
        &'a self,
        url: &'a Url,
        mode: &'a ConnectionMode,
        timeout: Duration,
    ) -> nostr_sdk::util::BoxedFuture<'a, Result<(WebSocketSink, WebSocketStream), TransportError>>
    {
        if !matches!(mode, ConnectionMode::Direct) {
            return DefaultTransport.connect(url, mode, timeout);
        }
        Box::pin(async move {
            let socket = tokio::time::timeout(timeout, open(url, self.private))
                .await
                .unwrap_or(Err(Unreachable::Slow(timeout)))
                .map_err(TransportError::backend)?;
            let (sink, stream) = socket.split();
            let sink = sink.sink_map_err(TransportError::backend);
            Ok((Box::new(sink) as _, Box::pin(stream.map_err(TransportError::backend)) as _))
        })
    }
}

#[expect(non_upper_case_globals, reason = "a unit struct under the name it plays here")]
const DefaultTransport: DefaultWebsocketTransport = DefaultWebsocketTransport;

async fn open(url: &Url, private: bool) -> Result<WebSocket, Unreachable> {
    let addresses = resolve(url, private).await.map_err(Unreachable::Address)?;
    let tcp = TcpStream::connect(addresses.as_slice()).await?;
    tcp.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let (stream, _) = Box::pin(tokio_tungstenite::client_async_tls_with_config(
        url.as_str(),
        tcp,
        Some(config),
        None,
    ))
    .await?;
    Ok(WebSocket::Tokio(stream))
}

/// The addresses of a relay, without those in our own network unless `private`.
pub(super) async fn resolve(url: &Url, private: bool) -> Result<Vec<SocketAddr>, String> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("its address names no host".into());
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| format!("its name was not found: {e}"))?;
    let found: Vec<SocketAddr> = found.filter(|a| private || !is_private(a.ip())).collect();
    if found.is_empty() {
        return Err("it has no address outside of our own network".into());
    }
    Ok(found)
}

/// Whether a relay is, by its name alone, on this machine or in this network.
pub(super) fn is_near(url: &RelayUrl) -> bool {
    let url: &Url = url.into();
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<IpAddr>().is_ok_and(is_private)
        }
        None => false,
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                // 100.64.0.0/10, shared by carriers (RFC 6598)
                || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stranger_cannot_point_us_at_our_own_network() {
        for near in [
            "ws://127.0.0.1:80",
            "ws://10.1.2.3",
            "ws://[::1]:7",
            "ws://169.254.1.1",
            "ws://192.168.0.1",
            "ws://[::ffff:127.0.0.1]",
            "ws://100.64.0.1",
            "ws://0.0.0.0",
            "ws://2130706433",
        ] {
            let url = Url::parse(near).unwrap();
            assert!(resolve(&url, false).await.is_err(), "{near}");
        }
        let here = Url::parse("ws://127.0.0.1:80").unwrap();
        assert!(resolve(&here, true).await.is_ok());
        assert!(resolve(&Url::parse("ws://1.1.1.1").unwrap(), false).await.is_ok());
    }
}
