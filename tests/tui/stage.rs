//! The stage: a model, a snapshot, a clock that only moves when told, and a screen that can be read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use earnest::engine::{
    Balances, ChannelInfo, Command, DeliveryView, Direction, FactView, GigView, JobView, LedgerRow,
    MaterialView, Movement, NodeStatus, Notice, Offered, PostView, Posts, RelayHealth, Severity,
    Snapshot, WalletAnswer, WalletCommand,
};
use earnest::market::{
    Digest, EventId, JobId, Mode, Money, Msat, Network, NodeId, PaymentHash, Phase, Pubkey,
    Refusal, Role, Side, Status, Time, Verb, Work,
};
use earnest::text::{Clean, Limit, Raw};
use earnest::tui::{Do, Found, Model, Moment, Msg, Said, Settings, draw, key, update};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub(crate) const NOW: Time = Time(1_800_000_000);
pub(crate) const SIZES: [(u16, u16); 5] = [(200, 60), (120, 40), (80, 24), (40, 12), (20, 6)];

pub(crate) struct Stage {
    pub(crate) model: Model,
    pub(crate) snapshot: Snapshot,
    pub(crate) at: Moment,
    /// Everything that was asked for since it was last taken.
    pub(crate) todo: Vec<Do>,
    pub(crate) buffer: Buffer,
}

pub(crate) fn clean(text: &str) -> Clean {
    Raw(text.to_owned()).clean(Limit::BLOCK)
}

pub(crate) fn sats(n: u64) -> Msat {
    Msat::sats(n).unwrap()
}

impl Stage {
    /// An engine that is up, with the market of `snapshot` and the book of `gigs`.
    pub(crate) fn up(size: (u16, u16), snapshot: Snapshot, gigs: Vec<GigView>) -> Self {
        let mut stage = Self::starting(size);
        stage.snapshot = snapshot;
        stage.send(Msg::Up { owner: true });
        stage.answer_book(gigs);
        stage.todo.clear();
        stage
    }

    pub(crate) fn starting(size: (u16, u16)) -> Self {
        let mut model = Model::new(Network::Regtest, Settings::default(), size);
        model.lsp_fee_cap = (10_000, sats(3_000));
        let buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
        let at = Moment { now: NOW, ms: 10_000 };
        Self { model, snapshot: Snapshot::default(), at, todo: Vec::new(), buffer }
    }

    pub(crate) fn send(&mut self, msg: Msg) {
        self.todo.extend(update(&mut self.model, &self.snapshot, self.at, msg));
    }

    /// Answers the last question to the book.
    pub(crate) fn answer_book(&mut self, gigs: Vec<GigView>) {
        let asked = self.todo.iter().rev().find_map(|one| match one {
            Do::Find(id, _) => Some(*id),
            _ => None,
        });
        self.send(Msg::Found(asked.expect("the book was asked"), Ok(Found { gigs, next: None })));
    }

    /// What the wallet was last asked by hand, and its number.
    pub(crate) fn by_hand(&self) -> Option<(u64, WalletCommand)> {
        self.todo.iter().rev().find_map(|one| match one {
            Do::Wallet(id @ 1.., command) => Some((*id, (**command).clone())),
            _ => None,
        })
    }

    /// Answers what the wallet was last asked by hand.
    pub(crate) fn answer_wallet(&mut self, answer: Result<WalletAnswer, Said>) -> &mut Self {
        let (id, _) = self.by_hand().expect("the wallet was asked");
        self.send(Msg::Wallet(id, answer));
        self.todo.clear();
        self
    }

    /// Presses keys by name, a second apart.
    pub(crate) fn keys(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ').filter(|name| !name.is_empty()) {
            self.at.ms += 1_000;
            self.press(name);
        }
        self
    }

    /// Presses one key now.
    pub(crate) fn press(&mut self, name: &str) {
        self.send(Msg::Key(key(name).unwrap_or_else(|| panic!("no key is called {name}"))));
        // Every frame is drawn, as it would be: drawing decides what can be clicked.
        self.draw();
    }

    /// Types a text, letter by letter.
    pub(crate) fn typed(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            let name = if c == ' ' { "space".to_owned() } else { c.to_string() };
            self.press(&name);
        }
        self
    }

    pub(crate) fn draw(&mut self) {
        let (width, height) = self.model.size;
        self.buffer = Buffer::empty(Rect::new(0, 0, width, height));
        draw(&mut self.buffer, &mut self.model, &self.snapshot);
    }

    /// The screen as text.
    pub(crate) fn text(&mut self) -> String {
        self.draw();
        let width = usize::from(self.buffer.area.width.max(1));
        let mut text = String::new();
        for row in self.buffer.content.chunks(width) {
            let mut line = String::new();
            let mut skip = 0;
            for cell in row {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                line.push_str(cell.symbol());
                skip = earnest::text::cells(cell.symbol()).saturating_sub(1);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The screen as text with a row of letters below each: which look every cell has, and what each letter
    /// means.
    pub(crate) fn styles(&mut self) -> String {
        let text = self.text();
        let mut looks: Vec<String> = Vec::new();
        let mut shown = String::new();
        let width = usize::from(self.buffer.area.width.max(1));
        for (line, row) in text.lines().zip(self.buffer.content.chunks(width)) {
            let mut letters = String::new();
            for cell in row {
                let look = format!("{:?} on {:?} {:?}", cell.fg, cell.bg, cell.modifier);
                let at = looks.iter().position(|known| *known == look).unwrap_or_else(|| {
                    looks.push(look);
                    looks.len() - 1
                });
                letters.push(char::from(b'a' + u8::try_from(at).unwrap_or(25)));
            }
            let _ = writeln!(shown, "{line}\n{letters}");
        }
        for (n, look) in (b'a'..).zip(&looks) {
            let _ = writeln!(shown, "{}: {look}", char::from(n));
        }
        shown
    }

    /// Asserts that the screen says so.
    #[track_caller]
    pub(crate) fn says(&mut self, words: &str) -> &mut Self {
        let text = self.text();
        assert!(self.tells(words), "the screen does not say `{words}`:\n{text}");
        self
    }

    #[track_caller]
    pub(crate) fn silent(&mut self, words: &str) -> &mut Self {
        let text = self.text();
        assert!(!self.tells(words), "the screen says `{words}`:\n{text}");
        self
    }

    /// Whether the words stand in one pane, wrapped or not. What lies between two frames in each row, by
    /// where it begins, is one text.
    fn tells(&self, words: &str) -> bool {
        let width = usize::from(self.buffer.area.width.max(1));
        let mut panes: BTreeMap<usize, String> = BTreeMap::new();
        for row in self.buffer.content.chunks(width) {
            let (mut from, mut skip) = (0, 0);
            for (x, cell) in row.iter().enumerate() {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                skip = earnest::text::cells(cell.symbol()).saturating_sub(1);
                match cell.symbol() {
                    "│" | "┌" | "┐" | "└" | "┘" | "─" => from = x + 1,
                    symbol => panes.entry(from).or_default().push_str(symbol),
                }
            }
            for pane in panes.values_mut() {
                pane.push(' ');
            }
        }
        let flat = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        panes.values().any(|text| flat(text).contains(words))
    }

    /// The commands that were asked for, taken.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        let todo = std::mem::take(&mut self.todo);
        let command = |one| match one {
            Do::Ask(_, command) => Some(*command),
            _ => None,
        };
        todo.into_iter().filter_map(command).collect()
    }
}

pub(crate) fn node() -> NodeStatus {
    NodeStatus {
        node: NodeId([2; 33]),
        running: true,
        height: 871_204,
        balances: Balances {
            onchain_spendable: sats(90_000),
            onchain_total: sats(115_000),
            lightning_total: sats(500_000),
            lightning_spendable: sats(480_000),
            lightning_receivable: sats(220_000),
            held_incoming: sats(21_000),
            closing: Msat::ZERO,
        },
        channels_usable: 2,
        channels: 3,
        least_first: Some(sats(1)),
        trouble: None,
    }
}

pub(crate) fn gig(n: u8, title: &str, price: u64) -> GigView {
    GigView {
        milestones: Vec::new(),
        id: EventId([n; 32]),
        listing: Digest([n; 32]),
        author: Pubkey([n.wrapping_add(100); 32]),
        title: clean(title),
        summary: clean("Four thousand photographs, one label each."),
        content: clean(
            "## What\n\nLabel *every* image:\n\n- bus\n- tram\n\nRules: <https://example.org>",
        ),
        tags: vec![clean("images"), clean("labels")],
        side: Side::Request,
        status: Status::Open,
        work: Work::File,
        modes: vec![Mode::Sealed, Mode::Direct],
        network: Network::Regtest,
        price: sats(price),
        slots: 2,
        max_bytes: 10 << 20,
        deliver_secs: 3 * 86_400,
        pay_secs: 86_400,
        pow: 12,
        published_at: Time(NOW.0 - 3_600),
        expires_at: Time(NOW.0 + 6 * 86_400),
        inputs: vec![(clean("photos.zip"), 4 << 20)],
        quality: Vec::new(),
        asks: Digest([n; 32]),
        escrow: None,
        judge: None,
    }
}

pub(crate) fn gigs() -> Vec<GigView> {
    vec![
        gig(1, "Label 4,000 street photographs", 21_000),
        gig(2, "Translate a manual from German", 55_000),
        gig(3, "写真の分類をお願いします", 8_000),
    ]
}

/// What may be done in a phase, as the market would say it.
fn legal(role: Role, phase: Phase) -> Vec<Offered> {
    let open: &[Verb] = match (role, phase) {
        (Role::Requester, Phase::Bid) => &[Verb::Award, Verb::Decline],
        (Role::Requester, Phase::Delivered) => {
            &[Verb::Accept, Verb::Reject, Verb::Cancel, Verb::Note]
        }
        (Role::Worker, Phase::Working) => &[Verb::Deliver, Verb::Cancel, Verb::Note],
        (Role::Worker, Phase::Bid) => &[Verb::Withdraw],
        (_, Phase::Settled) => &[Verb::Note, Verb::Rate],
        _ => &[Verb::Note],
    };
    let refusal = |verb: &Verb| {
        let sentence = format!("Cannot {} now: the job is {}.", verb.word(), phase.word());
        Refusal::new("wrong-phase", sentence)
    };
    // Nothing is locked in this job's mode, so that nobody is offered it.
    let known = |verb: &&Verb| !matches!(verb, Verb::Fund | Verb::Approve);
    Verb::of(role)
        .iter()
        .filter(known)
        .map(|verb| Offered { verb: *verb, refusal: (!open.contains(verb)).then(|| refusal(verb)) })
        .collect()
}

pub(crate) fn job(n: u8, role: Role, phase: Phase, title: &str, price: u64) -> JobView {
    let deadline = match phase {
        phase if phase.is_over() => None,
        _ => Some(Time(NOW.0 + 8_040)),
    };
    let delivered = matches!(phase, Phase::Delivered | Phase::Accepted | Phase::Settled);
    JobView {
        milestones: Vec::new(),
        id: EventId([n; 32]),
        job: (phase != Phase::Bid).then_some(JobId([n; 32])),
        role,
        phase,
        since: Time(NOW.0 - 8_040),
        caught: role == Role::Requester && phase == Phase::Cheated,
        title: clean(title),
        gig: EventId([n; 32]),
        listing: Digest([n; 32]),
        peer: Pubkey([n; 32]),
        price: sats(price),
        mode: Mode::Sealed,
        tranches: 1,
        by_files: false,
        largest_loss: sats(price),
        stake: match role {
            _ if phase.is_over() => None,
            Role::Requester => Some(format!("you can lose {}", sats(price))),
            Role::Worker => Some("you can lose your labour".into()),
        },
        message: clean("I did this before."),
        deadline,
        otherwise: deadline.map(|_| "the job expires unpaid; the delivery stays sealed".into()),
        reason: None,
        legal: legal(role, phase),
        answers: Vec::new(),
        materials: vec![MaterialView {
            blob: Digest([1; 32]),
            size: 4 << 20,
            from: Role::Requester,
            name: clean("photos.zip"),
            path: None,
        }],
        delivery: delivered.then(|| DeliveryView {
            number: 0,
            manifest: Some(EventId([9; 32])),
            name: clean("labels.csv"),
            message: clean("All done."),
            size: 120_000,
            inspected: true,
            paid: u32::from(phase == Phase::Settled),
            fee: Msat::ZERO,
            received: Msat::ZERO,
            lsp_fee: Msat::ZERO,
            output: None,
            source: None,
            digest: None,
            proof: None,
            audit: None,
            checks: Vec::new(),
            verdict: None,
        }),
        fetched: None,
        stuck: Vec::new(),
        by: None,
        asked: None,
        escrow: None,
        heard_at: None,
        unheard: 0,
        pending: Vec::new(),
        facts: 4,
    }
}

pub(crate) fn market() -> Snapshot {
    let jobs = [
        job(11, Role::Requester, Phase::Delivered, "Label 4,000 street photographs", 21_000),
        job(12, Role::Worker, Phase::Working, "Translate a manual from German", 55_000),
        job(13, Role::Requester, Phase::Bid, "Find the bug in this parser", 150_000),
        job(14, Role::Worker, Phase::Settled, "Judge 200 answers", 12_000),
    ];
    let relay = |url: &str, live| RelayHealth {
        url: url.into(),
        connected: live,
        live,
        trouble: (!live).then(|| "connection refused".into()),
        heard_at: live.then_some(Time(NOW.0 - 30)),
        took_at: None,
        latency_ms: None,
        limits: None,
    };
    Snapshot {
        at: NOW,
        identity: Some(Pubkey([200; 32])),
        node: Some(node()),
        reserved: sats(21_000),
        halted: None,
        relays: vec![relay("wss://relay.one", true), relay("wss://relay.two", false)],
        jobs: jobs.into_iter().map(|job| (job.id, Arc::new(job))).collect(),
        cases: BTreeMap::new(),
        posts: [Arc::new(PostView {
            id: EventId([31; 32]),
            gig: gig(31, "Find the bug in this parser", 150_000),
            bids: 1,
            awarded: 0,
            by: None,
            key: None,
            pending: Vec::new(),
            facts: 1,
        })]
        .into_iter()
        .collect(),
        waiting: 0,
        parked: 0,
    }
}

/// Somebody who has just begun: relays and a node, and nothing else.
pub(crate) fn nothing() -> Snapshot {
    let mut snapshot = market();
    snapshot.jobs.clear();
    snapshot.posts = Posts::default();
    snapshot.reserved = Msat::ZERO;
    if let Some(node) = &mut snapshot.node {
        node.balances = Balances::default();
        (node.channels, node.channels_usable) = (0, 0);
        node.least_first = Some(sats(6_000));
    }
    snapshot
}

pub(crate) fn history() -> Vec<FactView> {
    let fact = |n, ago, kind: &str, by| FactView {
        milestone: None,
        n,
        at: Time(NOW.0 - ago),
        kind: kind.into(),
        by,
        text: Clean::default(),
        amount: (kind == "bid").then(|| sats(21_000)),
        fee: None,
        tranche: None,
        stars: None,
        file: (kind == "deliver").then(|| clean("labels.csv")),
        path: None,
    };
    vec![
        fact(0, 90_000, "bid", Some(Role::Worker)),
        fact(1, 86_400, "award", Some(Role::Requester)),
        fact(2, 8_040, "deliver", Some(Role::Worker)),
        fact(3, 60, "inspected", None),
    ]
}

pub(crate) fn ledger() -> Vec<LedgerRow> {
    let row = |n: u8, direction, amount, state: &str| LedgerRow {
        hash: PaymentHash([n; 32]),
        log: EventId([n; 32]),
        direction,
        tranche: 0,
        amount: sats(amount),
        invoice: "lnbcrt1invoice".into(),
        state: state.into(),
        fee: sats(2),
        at: Time(NOW.0 - 7_200),
    };
    vec![row(14, Direction::In, 12_000, "received"), row(11, Direction::Out, 21_000, "inflight")]
}

pub(crate) fn movements() -> Vec<Movement> {
    let row = |id: String, direction, kind: &str, amount: Option<u64>, state: &str, ago| Movement {
        id,
        at: Time(NOW.0 - ago),
        direction,
        kind: kind.into(),
        amount: amount.map(sats),
        fee: sats(2),
        state: state.into(),
    };
    let hash = |n: u8| PaymentHash([n; 32]).to_string();
    vec![
        row(hash(11), Direction::Out, "bolt11", Some(21_000), "pending", 20),
        row(hash(40), Direction::In, "bolt11", None, "pending", 600),
        row(hash(14), Direction::In, "jit", Some(12_000), "done", 7_200),
        row(hash(41), Direction::Out, "bolt12", Some(900), "failed", 90_000),
        row(hash(42), Direction::In, "onchain", Some(115_000), "done", 180_000),
    ]
}

pub(crate) fn channels() -> Vec<ChannelInfo> {
    let channel = |n: u8, size, sendable, usable, confirmations| ChannelInfo {
        id: format!("channel-{n}"),
        peer: NodeId([n; 33]),
        size: sats(size),
        sendable: sats(sendable),
        receivable: sats(size - sendable),
        reserve: sats(size / 100),
        ours: n == 2,
        usable,
        confirmations,
    };
    vec![channel(2, 500_000, 380_000, true, Some(12)), channel(3, 200_000, 100_000, false, Some(0))]
}

pub(crate) fn notice(text: &str) -> Notice {
    Notice {
        at: NOW,
        severity: Severity::Act,
        code: "inspected".into(),
        job: EventId([11; 32]),
        text: text.into(),
        money: Money::Untouched,
    }
}

/// A screen with everything in it.
pub(crate) fn full(size: (u16, u16)) -> Stage {
    let mut stage = Stage::up(size, market(), gigs());
    stage.send(Msg::Notice(notice("The delivery for 0b0b0b0b is here and is what was signed.")));
    stage.at.ms += 10_000;
    stage.send(Msg::Wake);
    stage
}

/// Answers what a screen asked for.
pub(crate) fn fed(stage: &mut Stage) {
    let todo = std::mem::take(&mut stage.todo);
    for one in todo {
        match one {
            Do::Gig(id) => {
                stage.send(Msg::Gig(id, Ok(Some(gig(1, "The gig of a job", 1_000).into()))))
            }
            Do::History(job) => stage.send(Msg::History(job, Ok(history()))),
            Do::Wallet(0, command) => {
                let answer = match *command {
                    WalletCommand::History => WalletAnswer::History(movements()),
                    _ => WalletAnswer::Channels(channels()),
                };
                stage.send(Msg::Wallet(0, Ok(answer)));
            }
            Do::Payments => stage.send(Msg::Payments(Ok(ledger()))),
            Do::Find(id, _) => stage.send(Msg::Found(id, Ok(Found { gigs: gigs(), next: None }))),
            other => stage.todo.push(other),
        }
    }
}
