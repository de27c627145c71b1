//! A folder whose files are handed over one by one: it comes out as it went in, and a hostile one as a file.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use earnest::market::{CheckVerdict, Checked, Pinned};
use earnest::seal::{self, ChannelSecret, Cut, Plan, TrancheKey, TrancheKeys};
use earnest::verify::{Check, Kind, Scope, Unit};

use super::*;

const MOST: u64 = 10_000_000;

fn by_files(mode: Mode, tranches: u32) -> Pair {
    let quality = Quality { cut: Some(Cut::Files), ..Quality::default() };
    Pair { quality, ..Pair::new(mode, tranches) }
}

/// The files of a folder by their paths in it.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

fn plant(pair: &Pair, name: &str, files: &[(&str, Vec<u8>)]) -> PathBuf {
    let root = pair.dir.path().join(name);
    fs::create_dir_all(&root).unwrap();
    for (name, body) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }
    root
}

fn site(pair: &Pair) -> PathBuf {
    let files = [
        ("index.html", bytes(20_000)),
        ("img/logo.svg", bytes(300)),
        ("img/empty.txt", Vec::new()),
        ("img/my photo.png", bytes(40_000)),
        ("img-2/logo.svg", bytes(70_000)),
    ];
    plant(pair, "site", &files)
}

async fn opened(pair: &Pair, at: &SealedAt, name: &str) -> (PathBuf, Digest) {
    assert_eq!(pair.requester.inspect(at).await, Ok(Inspection::Sound));
    for t in 0..pair.tranches - 1 {
        let early = pair.open(at, t, name).await.unwrap();
        assert!(matches!(early, OpenedTranche::Right { digest: None, .. }), "{early:?}");
    }
    match pair.open(at, pair.tranches - 1, name).await.unwrap() {
        OpenedTranche::Right { path, digest } => (path, digest.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_folder_comes_out_as_it_went_in() {
    for (mode, tranches) in [(Mode::Sealed, 1), (Mode::Sealed, 3), (Mode::Direct, 1)] {
        let pair = by_files(mode, tranches);
        let source = site(&pair);
        let (file, copy) = pair.worker.adopt_folder(&LOG, &source, MOST).await.unwrap();
        assert_eq!(file.size, copy.metadata().unwrap().len());
        // What it is by then is nothing to the delivery.
        fs::write(source.join("index.html"), "changed").unwrap();
        let sealed = pair.seal_copy(copy).await.unwrap();
        assert_eq!(sealed.manifest.cut, Cut::Files);
        let at = pair.sent(&sealed);
        let (path, digest) = opened(&pair, &at, "site").await;
        assert_eq!(path.file_name().unwrap(), "site");
        assert_eq!(digest, file.blob);
        let out = tree(&path);
        let names: Vec<_> = out.keys().map(String::as_str).collect();
        let expected =
            ["img-2/logo.svg", "img/empty.txt", "img/logo.svg", "img/my_photo.png", "index.html"];
        assert_eq!(names, expected, "names are those that every disk takes");
        assert_eq!(out["index.html"], bytes(20_000));
        assert_eq!(out["img/my_photo.png"], bytes(40_000));
        assert_eq!(out["img/empty.txt"], b"");
        // A crash before that was written down: opened again it is the same one, and whole.
        let (again, same) = opened_again(&pair, &at).await;
        assert_eq!((&again, same), (&path, digest));
        assert_eq!(tree(&again), out);
        // Nothing is left beside it, and nothing in use is ever written over.
        let rooms = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(rooms, 1);
    }
}

async fn opened_again(pair: &Pair, at: &SealedAt) -> (PathBuf, Digest) {
    match pair.open(at, pair.tranches - 1, "site").await.unwrap() {
        OpenedTranche::Right { path, digest } => (path, digest.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_folder_never_takes_the_place_of_anything() {
    let pair = by_files(Mode::Sealed, 1);
    let (_, copy) = pair.worker.adopt_folder(&LOG, &site(&pair), MOST).await.unwrap();
    let at = pair.sent(&pair.seal_copy(copy).await.unwrap());
    let taken = pair.requester.folder(&LOG).join("out/site");
    fs::create_dir_all(&taken).unwrap();
    let (path, _) = opened(&pair, &at, "site").await;
    assert_eq!(path.file_name().unwrap(), "site-1");
    assert_eq!(fs::read_dir(taken).unwrap().count(), 0);
}

#[tokio::test]
async fn one_file_is_a_folder_of_one_where_the_terms_cut_by_files() {
    let pair = by_files(Mode::Sealed, 1);
    let source = pair.write("logo.svg", &bytes(500));
    let (_, copy) = pair.worker.adopt_folder(&LOG, &source, MOST).await.unwrap();
    let at = pair.sent(&pair.seal_copy(copy).await.unwrap());
    let (path, _) = opened(&pair, &at, "logo.svg").await;
    assert_eq!(tree(&path), BTreeMap::from([("logo.svg".to_owned(), bytes(500))]));
    // A file that was not made for it is refused before anything is sent.
    let (_, plain) = pair.worker.adopt(&LOG, &source, MOST).await.unwrap();
    let why = never(pair.seal_copy(plain).await);
    assert!(why.contains("hand over the folder") && why.contains("Nothing was sent"), "{why}");
}

#[tokio::test]
async fn what_cannot_be_handed_over_as_a_folder_is_told_before_anything_is_sent() {
    let pair = by_files(Mode::Sealed, 1);
    let no = async |source: &Path| never(pair.worker.adopt_folder(&LOG, source, 50_000).await);
    let one = [("a.txt", bytes(10))];
    for (name, files, says) in [
        ("nothing", &[][..], "is empty"),
        ("hollow", &[("a.txt", Vec::new())][..], "is empty"),
        ("alike", &[("a b", bytes(1)), ("a_b", bytes(1))][..], "one name"),
        ("cases", &[("A", bytes(1)), ("a", bytes(2))][..], "one name"),
        ("large", &[("a", bytes(30_000)), ("b", bytes(30_000))][..], "larger than the 50000"),
    ] {
        let why = no(&plant(&pair, name, files)).await;
        assert!(why.contains(says) && why.ends_with("Nothing was sent or paid."), "{name}: {why}");
    }
    let why = no(&pair.dir.path().join("nowhere")).await;
    assert!(why.contains("is not there"), "{why}");
    #[cfg(unix)]
    for (name, to) in [("within", "a.txt"), ("out", "/etc/passwd"), ("up", "..")] {
        let root = plant(&pair, name, &one);
        std::os::unix::fs::symlink(to, root.join("link")).unwrap();
        let why = no(&root).await;
        assert!(why.contains("holds a link, `link`"), "{why}");
    }
}

/// A worker that seals whatever stream it likes, with marks where it likes.
fn sealed_by_hand(pair: &Pair, stream: &[u8], starts: &[u64]) -> SealedFiles {
    let job = Hash32::new(JOB.0);
    let secret = ChannelSecret::new([42; 32]).tranche(&job, 0, 0);
    let keys = [TrancheKeys { key: TrancheKey::new(*key(0).expose()), secret }];
    let plan = Plan {
        job,
        delivery: 0,
        total: stream.len() as u64,
        cut: Cut::Files,
        starts,
        mode: seal::Mode::Sealed,
        checks: Vec::new(),
        nonce: Hash32::new([3; 32]),
        workers: NonZeroUsize::MIN,
    };
    let (mut blob, mut vector) = (Vec::new(), Vec::new());
    let manifest = seal::seal(stream, &plan, &keys, &mut blob, &mut vector).unwrap().manifest;
    SealedFiles {
        manifest,
        vector_size: vector.len() as u64,
        blob: pair.write("by-hand.blob", &blob),
        vector: pair.write("by-hand.vector", &vector),
    }
}

fn listed(files: &[(&str, usize)]) -> Vec<u8> {
    let one = |(name, size): &(&str, usize)| format!(r#"{{"name":"{name}","size":{size}}}"#);
    let files: Vec<String> = files.iter().map(one).collect();
    format!("{{\"files\":[{}],\"v\":1}}\n", files.join(",")).into_bytes()
}

#[tokio::test]
async fn a_folder_that_lies_is_kept_as_one_file_and_no_name_in_it_is_believed() {
    let body = bytes(1000);
    let with = |line: Vec<u8>| [line, body.clone()].concat();
    let honest = with(listed(&[("a", 400), ("b", 600)]));
    let line = (honest.len() - 1000) as u64;
    let mut cases = vec![
        // Sizes and marks that are not what is there.
        (with(listed(&[("a", 400), ("b", 601)])), vec![0, line, line + 400]),
        (with(listed(&[("a", 400), ("b", 599)])), vec![0, line, line + 400]),
        (honest.clone(), vec![0, line, line + 401]),
        (honest.clone(), vec![0]),
        (body.clone(), vec![0]),
    ];
    for hostile in ["../evil", "/tmp/evil", "b/../../evil", "evil\\u0000", "e\\nvil", ".evil", "b/"]
    {
        let stream = with(listed(&[(hostile, 1000)]));
        let starts = vec![0, (stream.len() - 1000) as u64];
        cases.push((stream, starts));
    }
    for (stream, starts) in cases {
        let pair = by_files(Mode::Sealed, 1);
        let at = pair.sent(&sealed_by_hand(&pair, &stream, &starts));
        let (path, digest) = opened(&pair, &at, "site").await;
        assert_eq!(path.file_name().unwrap(), "site.names-refused");
        assert_eq!(fs::read(&path).unwrap(), stream, "all that was paid for is there");
        assert_eq!(digest, Digest(*blake3::hash(&stream).as_bytes()));
        let names = tree(&pair.dir.path().join("requester")).into_keys();
        let strays: Vec<_> = names.filter(|name| name.contains("vil")).collect();
        assert!(strays.is_empty(), "{strays:?}");
    }
    // What is no folder passes no check of one, and proves nothing.
    let checked = {
        let mut pair = by_files(Mode::Sealed, 1);
        let at = pair.sent(&sealed_by_hand(&pair, &body, &[0]));
        let (path, _) = opened(&pair, &at, "site").await;
        pair.quality.checks = labels(Scope::Chunk);
        pair.requester.check(&at, 0, &path, &pair.quality.checks).await.unwrap()
    };
    assert!(checked[0].failed() && checked[0].chunk.is_none(), "{checked:?}");
    // The same stream with its own marks is a folder.
    let pair = by_files(Mode::Sealed, 1);
    let at = pair.sent(&sealed_by_hand(&pair, &honest, &[0, line, line + 400]));
    let (path, _) = opened(&pair, &at, "site").await;
    assert_eq!(tree(&path).into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn what_a_crash_left_of_a_folder_is_swept() {
    let pair = by_files(Mode::Sealed, 1);
    let half = pair.requester.folder(&LOG).join("sealed/.half-abc/b");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("c"), "c").unwrap();
    JobFiles::new(&pair.dir.path().join("requester")).unwrap();
    assert!(!half.parent().unwrap().exists());
}

fn labels(scope: Scope) -> Vec<Pinned> {
    let schema =
        r#"{"type":"object","required":["label"],"properties":{"label":{"enum":["cat","dog"]}}}"#;
    let kind = Kind::Schema { schema: schema.into(), unit: Unit::Whole };
    let body = String::from_utf8(Check { scope, kind }.to_json()).unwrap();
    let hash = Digest(*blake3::hash(body.as_bytes()).as_bytes());
    vec![Pinned { body: Some(body), hash }]
}

#[tokio::test]
async fn checks_look_at_every_file_and_never_at_the_list() {
    for scope in [Scope::Chunk, Scope::File] {
        let mut pair = by_files(Mode::Sealed, 1);
        pair.quality.checks = labels(scope);
        let label = |label: &str| format!("{{\"label\":\"{label}\"}}").into_bytes();
        let good = [("a.json", label("cat")), ("b/c.json", label("dog"))];
        let source = plant(&pair, "labels", &good);
        let (_, copy) = pair.worker.adopt_folder(&LOG, &source, MOST).await.unwrap();
        let at = pair.sent(&pair.seal_copy(copy).await.unwrap());
        let (path, _) = opened(&pair, &at, "labels").await;
        let checks = &pair.quality.checks;
        let found = pair.requester.check(&at, 0, &path, checks).await.unwrap();
        assert!(found.iter().all(|one| one.verdict == CheckVerdict::Pass), "{found:?}");
        // A file that is not what was asked is found by its own place, before it is sent and after.
        fs::write(path.join("b/c.json"), label("owl")).unwrap();
        let found = pair.requester.check(&at, 0, &path, checks).await.unwrap();
        assert!(found.iter().all(Checked::failed), "{found:?}");
        let provable = (scope == Scope::Chunk).then_some(2);
        assert_eq!(found[0].chunk, provable);
        fs::write(source.join("a.json"), label("owl")).unwrap();
        let (_, copy) = pair.worker.adopt_folder(&LOG, &source, MOST).await.unwrap();
        let why = never(pair.seal_copy(copy).await);
        assert!(why.contains("does not pass a check"), "{why}");
    }
}
