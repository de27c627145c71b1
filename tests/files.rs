//! Files of a job: from the worker's disk, sealed, to the requester's, opened, or proved not to.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and a test may write files"
)]

use std::fs;
use std::path::{Path, PathBuf};

use earnest::engine::{
    Fault, Files, Inspection, OpenedTranche, ProofOrder, SealOrder, SealTerms, SealedAt,
    SealedFiles, SharedSecret, Shows,
};
use earnest::files::JobFiles;
use earnest::market::{
    Attachment, Deadlines, Digest, EventId, JobId, Mode, Msat, Network, Nonce, Preimage, Purpose,
    Quality, Span, Terms, Work,
};
use earnest::seal::{FraudProof, Hash32, Signed, Verdict, verify};
use earnest::text::Raw;

#[path = "files/folder.rs"]
mod folder;

const LOG: EventId = EventId([9; 32]);
const JOB: JobId = JobId([7; 32]);

/// Two people's data directories, and one file to sell.
struct Pair {
    dir: tempfile::TempDir,
    worker: JobFiles,
    requester: JobFiles,
    mode: Mode,
    tranches: u32,
    quality: Quality,
}

fn key(t: u32) -> Preimage {
    Preimage::new([100 + u8::try_from(t).unwrap(); 32])
}

/// Bytes that repeat nowhere.
fn bytes(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(b"work").finalize_xof().fill(&mut out);
    out
}

impl Pair {
    fn new(mode: Mode, tranches: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let worker = JobFiles::new(&dir.path().join("worker")).unwrap();
        let requester = JobFiles::new(&dir.path().join("requester")).unwrap();
        Self { dir, worker, requester, mode, tranches, quality: Quality::default() }
    }

    fn terms(&self) -> SealTerms {
        let terms = Terms {
            milestones: Vec::new(),
            quality: self.quality.bare(),
            v: 1,
            work: Work::File,
            mode: self.mode,
            price: Msat::sats(50_000).unwrap(),
            tranches: self.tranches,
            max_bytes: 10_000_000,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            escrow: None,
            network: Network::Regtest,
        };
        let shared = SharedSecret([42; 32]);
        SealTerms { log: LOG, job: JOB, delivery: 0, terms, shared, given: Vec::new() }
    }

    fn write(&self, name: &str, body: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, body).unwrap();
        path
    }

    async fn seal(&self, name: &str, body: &[u8]) -> Result<SealedFiles, Fault> {
        let source = self.write(name, body);
        let (file, copy) = self.worker.adopt(&LOG, &source, 10_000_000).await?;
        assert_eq!(file.blob, Digest(*blake3::hash(body).as_bytes()));
        assert_eq!(file.size, body.len() as u64);
        self.seal_copy(copy).await
    }

    async fn seal_copy(&self, source: PathBuf) -> Result<SealedFiles, Fault> {
        let keys = (0..self.tranches).map(key).collect();
        let (terms, nonce) = (self.terms(), Nonce([3; 32]));
        let checks = self.quality.checks.clone();
        self.worker.seal(&SealOrder { terms, source, nonce, keys, checks }).await
    }

    /// The delivery as it arrives at the requester.
    fn sent(&self, sealed: &SealedFiles) -> SealedAt {
        let copy = |path: &Path, purpose, blob: Hash32, size| {
            let file = Attachment { blob: Digest(*blob.as_bytes()), size, name: Raw::from("x") };
            let to = self.requester.place(&LOG, purpose, &file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, &to).unwrap();
            to
        };
        let manifest = sealed.manifest.clone();
        let blob = copy(&sealed.blob, Purpose::Blob, manifest.blob, manifest.total);
        let vector = copy(&sealed.vector, Purpose::Vector, manifest.vector, sealed.vector_size);
        SealedAt { terms: self.terms(), manifest, blob, vector }
    }

    async fn open(&self, at: &SealedAt, t: u32, name: &str) -> Result<OpenedTranche, Fault> {
        self.requester.open(at, t, &key(t), &Raw::from(name)).await
    }
}

fn never<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    match result {
        Err(Fault::Never(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn flip(path: &Path, at: usize) {
    let mut body = fs::read(path).unwrap();
    body[at] ^= 1;
    fs::write(path, body).unwrap();
}

#[tokio::test]
async fn a_file_of_any_size_comes_out_as_it_went_in() {
    for (mode, tranches) in [(Mode::Sealed, 1), (Mode::Sealed, 4), (Mode::Direct, 1)] {
        for len in [1, 16 * 1024, 16 * 1024 + 1, 300_000, 3_000_000] {
            let pair = Pair::new(mode, tranches);
            let body = bytes(len);
            let sealed = match pair.seal("logo.svg", &body).await {
                Ok(sealed) => sealed,
                // Four tranches need four chunks.
                Err(Fault::Never(why)) if tranches == 4 && len < 100_000 => {
                    assert!(why.contains("fewer tranches"), "{why}");
                    continue;
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(sealed.vector.metadata().unwrap().len(), sealed.vector_size);
            assert_eq!(fs::read(&sealed.blob).unwrap() == body, mode == Mode::Direct);
            let at = pair.sent(&sealed);
            assert_eq!(pair.requester.inspect(&at).await, Ok(Inspection::Sound));
            for t in 0..tranches - 1 {
                let opened = pair.open(&at, t, "logo.svg").await.unwrap();
                assert!(matches!(opened, OpenedTranche::Right { digest: None, .. }), "{opened:?}");
            }
            let opened = pair.open(&at, tranches - 1, "../../my logo.svg").await.unwrap();
            let OpenedTranche::Right { path, digest } = &opened else { panic!("{opened:?}") };
            assert_eq!(*digest, Some(Digest(*blake3::hash(&body).as_bytes())));
            assert_eq!(fs::read(path).unwrap(), body);
            assert_eq!(path.parent().unwrap(), pair.requester.folder(&LOG).join("out"));
            // Run again after a crash: the same answer and no second file.
            let again = pair.open(&at, tranches - 1, "../../my logo.svg").await.unwrap();
            assert_eq!(again, opened);
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        }
    }
}

#[tokio::test]
async fn nothing_is_ever_overwritten() {
    let pair = Pair::new(Mode::Sealed, 1);
    let at = pair.sent(&pair.seal("logo.svg", &bytes(40_000)).await.unwrap());
    let out = pair.requester.folder(&LOG).join("out");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("logo.svg"), "the user's own").unwrap();
    let opened = pair.open(&at, 0, "logo.svg").await.unwrap();
    let OpenedTranche::Right { path, .. } = opened else { panic!("{opened:?}") };
    assert_eq!(path, out.join("logo-1.svg"));
    assert_eq!(fs::read_to_string(out.join("logo.svg")).unwrap(), "the user's own");
    let mut later = at.clone();
    later.terms.delivery = 1;
    // Another number is another secret: it does not open, and takes nothing with it.
    assert!(never(pair.open(&later, 0, "logo.svg").await).contains("not the secret"));
    assert_eq!(fs::read(&path).unwrap(), bytes(40_000));
}

#[tokio::test]
async fn a_tranche_is_opened_again_after_a_crash_and_never_without_those_before() {
    let pair = Pair::new(Mode::Sealed, 3);
    let body = bytes(200_000);
    let at = pair.sent(&pair.seal("data.bin", &body).await.unwrap());
    assert!(never(pair.open(&at, 1, "data.bin").await).contains("key is kept"));
    for t in [0, 0, 1, 1, 0, 1] {
        pair.open(&at, t, "data.bin").await.unwrap();
    }
    let opened = pair.open(&at, 2, "data.bin").await.unwrap();
    let OpenedTranche::Right { path, .. } = opened else { panic!("{opened:?}") };
    assert_eq!(fs::read(path).unwrap(), body);
}

#[tokio::test]
async fn a_delivery_that_was_touched_is_refused_before_a_coin_moves() {
    let pair = Pair::new(Mode::Sealed, 1);
    let sealed = pair.seal("logo.svg", &bytes(40_000)).await.unwrap();
    let bend = async |code: &str, bend: &dyn Fn(&mut SealedAt)| {
        let mut at = pair.sent(&sealed);
        bend(&mut at);
        let found = pair.requester.inspect(&at).await.unwrap();
        let Inspection::Refused { code: got, sentence } = &found else { panic!("{found:?}") };
        assert_eq!(got, code);
        assert!(sentence.contains("Nothing was paid"), "{sentence}");
    };
    bend("seal.blob_hash", &|at| flip(&at.blob, 20_000)).await;
    bend("seal.vector_hash", &|at| flip(&at.vector, 50)).await;
    bend("seal.blob_length", &|at| fs::write(&at.blob, [0; 10]).unwrap()).await;
    bend("seal.vector_length", &|at| fs::write(&at.vector, []).unwrap()).await;
    bend("seal.job", &|at| at.terms.job = JobId([1; 32])).await;
    bend("seal.secret", &|at| at.terms.shared = SharedSecret([1; 32])).await;
    bend("seal.too_large", &|at| at.terms.terms.max_bytes = 39_999).await;
    bend("seal.tranches", &|at| at.terms.terms.tranches = 2).await;
    bend("seal.mode", &|at| at.terms.terms.mode = Mode::Direct).await;
    bend("seal.root", &|at| at.manifest.root = Hash32::new([0; 32])).await;
    let mut gone = pair.sent(&sealed);
    gone.blob = pair.dir.path().join("nowhere");
    let fault = pair.requester.inspect(&gone).await.unwrap_err();
    assert!(matches!(&fault, Fault::Later(why) if why.contains("Nothing was paid")), "{fault:?}");
}

#[tokio::test]
async fn a_wrong_preimage_opens_nothing() {
    let pair = Pair::new(Mode::Sealed, 1);
    let at = pair.sent(&pair.seal("logo.svg", &bytes(40_000)).await.unwrap());
    let wrong = pair.requester.open(&at, 0, &key(5), &Raw::from("logo.svg")).await;
    assert!(never(wrong).contains("not the key of tranche 0"));
    // The files were damaged after the inspection: say so, and accuse nobody.
    flip(&at.blob, 20_000);
    assert_eq!(pair.open(&at, 0, "logo.svg").await, Ok(OpenedTranche::Damaged));
    let proof = pair.requester.prove(&wrong_key(&at, key(0), 1)).await;
    assert!(never(proof).contains("damaged here"));
    assert_eq!(fs::read_dir(pair.requester.folder(&LOG).join("out")).unwrap().count(), 0);
    // Lost altogether, or half of the vector file.
    for path in [&at.blob, &at.vector] {
        let whole = fs::read(path).unwrap();
        fs::write(path, &whole[..whole.len() / 3]).unwrap();
        assert_eq!(pair.open(&at, 0, "logo.svg").await, Ok(OpenedTranche::Damaged));
        fs::remove_file(path).unwrap();
        assert_eq!(pair.open(&at, 0, "logo.svg").await, Ok(OpenedTranche::Damaged));
        fs::write(path, whole).unwrap();
    }
}

/// That this key does not open this chunk.
fn wrong_key(at: &SealedAt, key: Preimage, chunk: u64) -> ProofOrder {
    let shows = Shows::Key { at: Box::new(at.clone()), t: 0, key, chunk };
    ProofOrder { log: LOG, certificate: "certificate".into(), record: "record".into(), shows }
}

/// A worker that seals under one key and signs the hash of another.
#[tokio::test]
async fn a_key_that_does_not_open_what_was_signed_convicts_its_worker() {
    let pair = Pair::new(Mode::Sealed, 1);
    let mut sealed = pair.seal("logo.svg", &bytes(40_000)).await.unwrap();
    let sold = Preimage::new([1; 32]);
    sealed.manifest.h = vec![Hash32::new(sold.hash().0)];
    let at = pair.sent(&sealed);
    // Nothing shows it before the payment; that is what the proof is for.
    assert_eq!(pair.requester.inspect(&at).await, Ok(Inspection::Sound));
    let opened = pair.requester.open(&at, 0, &sold, &Raw::from("logo.svg")).await.unwrap();
    assert_eq!(opened, OpenedTranche::Wrong { chunk: 0 });
    let path = pair.requester.prove(&wrong_key(&at, sold, 0)).await.unwrap();
    let proof = FraudProof::from_json(&fs::read(path).unwrap()).unwrap();
    let resolve = |certificate: &str, record: &str| {
        assert_eq!((certificate, record), ("certificate", "record"));
        Ok::<_, String>(Signed {
            identity: Hash32::new([5; 32]),
            session: Hash32::new([6; 32]),
            job: Hash32::new(JOB.0),
            d: Hash32::new([8; 32]),
            manifest: at.manifest.clone(),
        })
    };
    let verdict = verify(&proof, resolve);
    assert!(matches!(verdict, Verdict::Guilty { t: 0, .. }), "{verdict:?}");
    // The honest manifest convicts nobody.
    let honest = pair.seal("logo.svg", &bytes(40_000)).await.unwrap().manifest;
    let resolve = |_: &str, _: &str| {
        let [identity, session, d] = [5, 6, 8].map(|n| Hash32::new([n; 32]));
        Ok::<_, String>(Signed { identity, session, job: Hash32::new(JOB.0), d, manifest: honest })
    };
    assert!(matches!(verify(&proof, resolve), Verdict::Invalid(_)));
}

#[tokio::test]
async fn only_a_plain_file_of_the_agreed_size_is_handed_over() {
    let pair = Pair::new(Mode::Sealed, 1);
    let dir = pair.dir.path();
    let file = pair.write("file", b"1234567890");
    let adopt = |path: PathBuf, most| {
        let files = pair.worker.clone();
        async move { files.adopt(&LOG, &path, most).await }
    };
    assert!(never(adopt(pair.write("empty", b""), 10).await).contains("is empty"));
    assert!(never(adopt(dir.to_owned(), 10).await).contains("is a folder"));
    assert!(never(adopt(dir.join("nothing"), 10).await).contains("is not there"));
    assert!(never(adopt(file.clone(), 9).await).contains("larger than the 9 bytes"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&file, dir.join("link")).unwrap();
        assert!(never(adopt(dir.join("link"), 10).await).contains("is a link"));
        let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
        assert!(never(adopt(dir.join("socket"), 10).await).contains("plain file"));
        assert!(never(adopt("/dev/zero".into(), 10).await).contains("plain file"));
    }
    // A copy: what happens to the file afterwards does not reach it. And the same file is one copy.
    let (attachment, copy) = adopt(file.clone(), 10).await.unwrap();
    assert_eq!(adopt(file.clone(), 10).await.unwrap(), (attachment, copy.clone()));
    fs::write(&file, b"0987654321").unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"1234567890");
    assert_eq!(fs::read_dir(copy.parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_stranger_does_not_name_places() {
    let pair = Pair::new(Mode::Sealed, 1);
    let inputs = pair.requester.folder(&LOG).join("inputs");
    for name in ["../../../etc/passwd", "/abs", "a\\b", "..", "", "x\0y", "\u{202e}gpj.exe", "-rf"]
    {
        let file = Attachment { blob: Digest([1; 32]), size: 1, name: Raw::from(name) };
        let place = pair.requester.place(&LOG, Purpose::Input, &file);
        assert_eq!(place.parent(), Some(inputs.as_path()), "{name:?}");
        let made = place.file_name().unwrap().to_str().unwrap();
        assert!(made.starts_with("0101010101010101-"), "{made}");
        assert!(made.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b)), "{made}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_reads_the_files_and_a_crash_leaves_none_half_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let pair = Pair::new(Mode::Sealed, 1);
    let sealed = pair.seal("logo.svg", &bytes(40_000)).await.unwrap();
    let folder = pair.worker.folder(&LOG);
    let half = folder.join("sealed/.half-1234");
    fs::write(&half, "half").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for dir in [folder.as_path(), &folder.join("ours"), &folder.join("sealed")] {
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
    assert_eq!((mode(&sealed.blob), mode(&sealed.vector)), (0o600, 0o600));
    JobFiles::new(&pair.dir.path().join("worker")).unwrap();
    assert!(!half.exists() && sealed.blob.exists());
    let at = pair.sent(&sealed);
    let opened = pair.open(&at, 0, "logo.svg").await.unwrap();
    let OpenedTranche::Right { path, .. } = opened else { panic!("{opened:?}") };
    assert_eq!(mode(&path), 0o600);
}

/// The kernel's own full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_fails_is_a_sentence_that_says_nothing_was_paid() {
    let pair = Pair::new(Mode::Sealed, 1);
    let sealed = pair.seal("logo.svg", &bytes(40_000)).await.unwrap();
    let at = pair.sent(&sealed);
    let part = pair.requester.folder(&LOG).join("sealed/opening-0.part");
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let fault = pair.open(&at, 0, "logo.svg").await.unwrap_err();
    let Fault::Later(why) = &fault else { panic!("{fault:?}") };
    assert!(why.contains("key is kept"), "{why}");

    let blocked = JobFiles::new(&pair.dir.path().join("blocked")).unwrap();
    fs::write(blocked.folder(&LOG), "a file where the folder should be").unwrap();
    let source = pair.write("logo.svg", b"work");
    let fault = blocked.adopt(&LOG, &source, 100).await.unwrap_err();
    assert!(matches!(&fault, Fault::Later(why) if why.contains("Nothing was paid")), "{fault:?}");
}
