//! Fetching a file from another endpoint: to a finished, checked file on disk, connecting included,
//! beside iroh-blobs in the same process and `sendme`, if it is on the path.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use earnest::engine::{FetchOrder, Grant, Transfer as _};
use earnest::market::Digest;
use earnest::transfer::{Bind, Endpoint, EndpointConfig};
use iroh::endpoint::presets;
use iroh::protocol::Router;
use iroh::{EndpointAddr, RelayMode};
use iroh_blobs::BlobsProtocol;
use iroh_blobs::store::fs::FsStore;

use crate::seal::write_random;
use crate::{Row, Samples, runtime, timed};

const BYTES: u64 = 1 << 30;
const ROUNDS: usize = 3;

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let dir = tempfile::tempdir().unwrap();
    let held = dir.path().join("held");
    write_random(&held, BYTES);
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_or_read(&held);
    let blob = Digest(*hasher.finalize().as_bytes());
    let (mut ours, mut blobs, mut sendme) =
        (Samples::default(), Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        ours.millis(earnest_fetch(&held, blob, &dir.path().join(format!("ours-{round}"))));
        blobs.millis(blobs_fetch(&held, &dir.path().join(format!("blobs-{round}"))));
        if let Some(took) = sendme_fetch(&held, &dir.path().join(format!("sendme-{round}"))) {
            sendme.millis(took);
        }
    }
    let name = "fetch a sealed file of 1 GiB, checked";
    tell(ours.clone().against(name, "ms", "iroh-blobs, file store, then export", &blobs));
    if sendme.median().is_finite() {
        tell(ours.against(name, "ms", "sendme, whole process", &sendme));
    }
}

/// So that hashing a file needs no feature of the library.
trait ReadFile {
    fn update_mmap_or_read(&mut self, path: &Path);
}

impl ReadFile for blake3::Hasher {
    fn update_mmap_or_read(&mut self, path: &Path) {
        self.update_reader(fs::File::open(path).unwrap()).unwrap();
    }
}

fn earnest_fetch(held: &Path, blob: Digest, to: &Path) -> std::time::Duration {
    runtime().block_on(async {
        let config = |key| EndpointConfig {
            bind: Bind::At("127.0.0.1:0".parse().unwrap()),
            ..EndpointConfig::new([key; 32])
        };
        let worker = Endpoint::bind(config(1)).await.unwrap();
        let requester = Endpoint::bind(config(2)).await.unwrap();
        let grant = Grant { blob, size: BYTES, path: held.to_owned(), to: requester.id() };
        worker.serve(&grant).await.unwrap();
        let order = FetchOrder { blob, size: BYTES, from: worker.address(), path: to.join("file") };
        let begun = std::time::Instant::now();
        requester.fetch(&order, &|_| ()).await.unwrap();
        let took = begun.elapsed();
        requester.close().await;
        worker.close().await;
        fs::remove_dir_all(to).unwrap();
        took
    })
}

fn blobs_fetch(held: &Path, to: &Path) -> std::time::Duration {
    runtime().block_on(async {
        let bind = || async {
            iroh::Endpoint::builder(presets::Minimal)
                .relay_mode(RelayMode::Disabled)
                .bind_addr("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap())
                .unwrap()
                .bind()
                .await
                .unwrap()
        };
        let (there, here) = (bind().await, bind().await);
        let serving = FsStore::load(to.join("serving")).await.unwrap();
        let tag = serving.blobs().add_path(held).await.unwrap();
        let router = Router::builder(there.clone())
            .accept(iroh_blobs::ALPN, BlobsProtocol::new(&serving, None))
            .spawn();
        let store = FsStore::load(to.join("fetching")).await.unwrap();
        let mut address = EndpointAddr::new(there.id());
        for socket in there.bound_sockets() {
            address = address.with_ip_addr(socket);
        }
        let begun = std::time::Instant::now();
        let connection = here.connect(address, iroh_blobs::ALPN).await.unwrap();
        store.remote().fetch(connection, tag.hash).await.unwrap();
        store.blobs().export(tag.hash, to.join("file")).await.unwrap();
        let took = begun.elapsed();
        assert_eq!(fs::metadata(to.join("file")).unwrap().len(), BYTES);
        router.shutdown().await.unwrap();
        here.close().await;
        store.shutdown().await.unwrap();
        // The router may have ended it: what it serves is its own.
        let _ = serving.shutdown().await;
        fs::remove_dir_all(to).unwrap();
        took
    })
}

/// The whole process of the receiver, as its users start it; `None` where there is no `sendme`.
fn sendme_fetch(held: &Path, to: &Path) -> Option<std::time::Duration> {
    fs::create_dir_all(to).unwrap();
    let offline = ["--relay", "disabled", "--magic-ipv4-addr", "127.0.0.1:0"];
    let mut sender = Command::new("sendme")
        .arg("send")
        .arg(held)
        .args(offline)
        .args(["--ticket-type", "addresses"])
        .current_dir(to)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut said = BufReader::new(sender.stdout.take().unwrap());
    let ticket = loop {
        let mut line = String::new();
        if said.read_line(&mut line).unwrap() == 0 {
            break None;
        }
        if let Some(ticket) = line.split_whitespace().find(|word| word.starts_with("blob")) {
            break Some(ticket.to_owned());
        }
    };
    let took = ticket.map(|ticket| {
        let mut receiver = Command::new("sendme");
        receiver.arg("receive").arg(ticket).args(offline).current_dir(to);
        receiver.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (status, took) = timed(|| receiver.status().unwrap());
        assert!(status.success(), "sendme did not receive the file");
        took
    });
    sender.kill().unwrap();
    sender.wait().unwrap();
    let mut rest = String::new();
    let _ = said.read_to_string(&mut rest);
    fs::remove_dir_all(to).unwrap();
    took
}
