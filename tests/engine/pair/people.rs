//! What people do: publish, bid, award, hand over, answer.

use std::path::PathBuf;

use super::*;

impl Pair {
    pub(crate) fn draft(&self) -> GigDraft {
        GigDraft {
            milestones: Vec::new(),
            quality: Quality::default(),
            title: "Clean a list".into(),
            summary: String::new(),
            content: "Sort it.".into(),
            tags: vec!["csv".into()],
            work: Work::File,
            modes: vec![Mode::Sealed, Mode::Direct],
            slots: 1,
            price: sats(21_000),
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            escrow: None,
            pow: 0,
            expires_at: self.now().after(Span::DAY.times(7)),
        }
    }

    /// A gig of these milestones, each at 1,000 sat more than the one before, from 4,000.
    pub(crate) fn in_milestones(&self, modes: &[Mode]) -> GigDraft {
        let part = |(n, mode): (usize, &Mode)| Milestone {
            title: format!("Part {n}").as_str().into(),
            price: sats(4_000 + 1_000 * n as u64),
            mode: *mode,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            tranches: 1,
            quality: Quality::default(),
            escrow: (*mode == Mode::Escrow).then(EscrowTerms::default),
        };
        self.draft().in_milestones(modes.iter().enumerate().map(part).collect())
    }

    /// A file of this many bytes that repeat nowhere.
    pub(crate) fn write(&self, name: &str, len: usize) -> PathBuf {
        let mut body = vec![0; len];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut body);
        let path = self.dir.path().join(name);
        std::fs::write(&path, body).unwrap();
        path
    }

    pub(crate) fn posted(&mut self, change: impl FnOnce(&mut GigDraft)) -> EventId {
        let mut draft = self.draft();
        change(&mut draft);
        let gig = self.core_mut(Requester).post(&draft, Vec::new()).unwrap();
        self.quiet();
        gig
    }

    pub(crate) fn bid(&mut self, wish: Wish) -> BidId {
        let gig = self.posted(|_| {});
        let id = self.core_mut(Worker).bid(&gig, wish, "I can.").unwrap();
        self.quiet();
        id
    }

    pub(crate) fn awarded(&mut self, wish: Wish) -> BidId {
        let id = self.bid(wish);
        self.core_mut(Requester).award(&id).unwrap();
        self.quiet();
        id
    }

    pub(crate) fn deliver(&mut self, name: &str, len: usize) -> Result<(), Trouble> {
        let id = self.id();
        self.deliver_to(&id, name, len)
    }

    /// Delivers in one job of several, and waits until it is inspected.
    pub(crate) fn deliver_in(&mut self, id: &BidId, name: &str, len: usize) {
        self.deliver_to(id, name, len).unwrap();
        self.quiet();
        assert!(self.core(Requester).job(id).unwrap().attempt.as_ref().unwrap().inspected);
    }

    pub(crate) fn deliver_to(&mut self, id: &BidId, name: &str, len: usize) -> Result<(), Trouble> {
        let (id, source) = (*id, self.write(name, len));
        let files = self.side(Worker).files.clone();
        let (file, source) = self.rt.block_on(files.adopt(&id, &source, u64::MAX)).unwrap();
        let nonce = self.core(Worker).nonce();
        let (size, name, message) = (file.size, file.name.0, "Here.".into());
        self.core_mut(Worker).ask(&id, Ask::Deliver { source, size, name, message, nonce })
    }

    /// Delivers a folder of these files, where the terms cut by files.
    pub(crate) fn deliver_folder(&mut self, name: &str, files: &[(&str, &[u8])]) {
        let root = self.dir.path().join(name);
        for (name, body) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, body).unwrap();
        }
        let (id, sealer) = (self.id(), self.side(Worker).files.clone());
        let (file, source) = self.rt.block_on(sealer.adopt_folder(&id, &root, u64::MAX)).unwrap();
        let nonce = self.core(Worker).nonce();
        let (size, name, message) = (file.size, file.name.0, "Here.".into());
        self.ask(Worker, Ask::Deliver { source, size, name, message, nonce }).unwrap();
        self.quiet();
    }

    /// Delivers exactly this.
    pub(crate) fn deliver_text(&mut self, name: &str, text: &[u8]) {
        let source = self.dir.path().join(name);
        std::fs::write(&source, text).unwrap();
        let (id, files) = (self.id(), self.side(Worker).files.clone());
        let (file, source) = self.rt.block_on(files.adopt(&id, &source, u64::MAX)).unwrap();
        let nonce = self.core(Worker).nonce();
        let (size, name, message) = (file.size, file.name.0, "Here.".into());
        self.ask(Worker, Ask::Deliver { source, size, name, message, nonce }).unwrap();
        self.quiet();
    }

    /// Up to a delivery that the requester holds and has inspected.
    pub(crate) fn delivered(&mut self, wish: Wish) -> BidId {
        let id = self.awarded(wish);
        self.deliver("work.bin", 50_000).unwrap();
        self.quiet();
        assert!(self.job(Requester).attempt.unwrap().inspected);
        id
    }

    pub(crate) fn ask(&mut self, who: Who, ask: Ask) -> Result<(), Trouble> {
        let id = self.id();
        self.core_mut(who).ask(&id, ask)
    }

    pub(crate) fn accept(&mut self) -> Result<(), Trouble> {
        self.ask(Requester, Ask::Accept { max_fee: sats(100) })
    }

    pub(crate) fn reject(&mut self) -> Result<(), Trouble> {
        self.ask(Requester, Ask::Reject { reason: "No.".into() })
    }

    pub(crate) fn cancel(&mut self, who: Who) -> Result<(), Trouble> {
        self.ask(who, Ask::Cancel { reason: "Stop.".into() })
    }
}
