//! What the verbs share: configuration, keys, the running engine, and its end at a signal.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::args::{Args, Globals};
use super::{Exit, Failure, Money, Out, log};
use crate::app::{Keys, Passphrase, PassphraseError, Vault, VaultError};
use crate::config::{Config, Folders};
use crate::engine::{Fault, Handle, Snapshot, Trouble};
use crate::market;
use crate::rpc::Door;

/// What is still being opened when a signal comes is waited for so long, to be closed in order.
const OPENING: Duration = Duration::from_secs(10);
/// How long a fresh owner listens before it works on jobs.
const CATCH_UP: Duration = Duration::from_secs(8);
/// Nothing new for so long is the end of what relays have.
const QUIET: Duration = Duration::from_millis(700);
/// How often a passphrase may be typed wrongly.
const TRIES: u32 = 3;

/// One run of one command.
pub(super) struct Session {
    pub(super) globals: Globals,
}

impl Session {
    pub(super) fn new(globals: Globals) -> Self {
        Self { globals }
    }

    /// The configuration of this run.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        Ok(Config::of_process(&self.globals.settings())?)
    }

    /// Whether somebody is there to answer a question.
    pub(super) fn may_ask(&self) -> bool {
        !self.globals.no_input && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Keys that open without a question, if they do.
    pub(super) fn keys_without_asking(&self, config: &Config) -> Result<Arc<Keys>, Failure> {
        let found = crate::app::find_passphrase(self.globals.passphrase_file.as_deref())?;
        let opened = crate::app::vault(config).open(found.as_ref())?;
        Ok(crate::app::keys_of(&opened.secrets))
    }

    /// The keys, with the passphrase from a file, systemd or the terminal.
    pub(super) fn keys(&self, config: &Config, out: &mut Out) -> Result<Arc<Keys>, Failure> {
        let vault = crate::app::vault(config);
        let opened = self.open(&vault, out)?;
        if let Some(warning) = opened.warning {
            out.say(&warning)?;
        }
        Ok(crate::app::keys_of(&opened.secrets))
    }

    fn open(&self, vault: &Vault, out: &mut Out) -> Result<crate::app::Opened, Failure> {
        let found = crate::app::find_passphrase(self.globals.passphrase_file.as_deref())?;
        if found.is_some() || !vault.is_locked()? || !self.may_ask() {
            return Ok(vault.open(found.as_ref())?);
        }
        for _ in 1..TRIES {
            let typed = crate::app::ask_passphrase("Passphrase: ")?;
            match vault.open(Some(&typed)) {
                Err(VaultError::WrongPassphrase(_)) => out.say("That is not it. Try again.")?,
                other => return Ok(other?),
            }
        }
        Ok(vault.open(Some(&crate::app::ask_passphrase("Passphrase: ")?))?)
    }

    /// A passphrase for a new vault.
    pub(super) fn new_passphrase(&self) -> Result<Passphrase, Failure> {
        if let Some(found) = crate::app::find_passphrase(self.globals.passphrase_file.as_deref())? {
            return Ok(found);
        }
        if !self.may_ask() {
            let said = "The keys need a passphrase, and there is nobody to ask. Nothing was made.";
            return Err(Failure::new(Exit::Usage, "needs-passphrase", said)
                .next("Give --passphrase-file FILE")
                .next("Or, where file permissions are enough, --plain"));
        }
        Ok(crate::app::ask_new_passphrase("New passphrase: ", "Once more: ")?)
    }

    /// Refuses what a bot's command or hook may not do: own a directory, whose budgets would be its own word.
    pub(super) fn only_a_person(&self, what: &str) -> Result<(), Failure> {
        match crate::bot::command_actor() {
            None => Ok(()),
            Some(_) => Err(Failure::from(Trouble::from(market::person_only(what)))),
        }
    }

    /// Joins the process that owns the directory, or becomes it; does `work` and leaves, whatever happened.
    /// `what` names this
    /// process to whoever comes while it owns.
    pub(super) fn with_engine<T>(
        &self,
        out: &mut Out,
        what: &'static str,
        work: impl AsyncFnOnce(&Handle, &mut Out) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.enter(out, what, Duration::ZERO, work)
    }

    /// The same, for work on jobs: a process that becomes the owner first hears what was said while
    /// nobody ran.
    pub(super) fn with_jobs<T>(
        &self,
        out: &mut Out,
        what: &'static str,
        work: impl AsyncFnOnce(&Handle, &mut Out) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.enter(out, what, CATCH_UP, work)
    }

    fn enter<T>(
        &self,
        out: &mut Out,
        what: &'static str,
        catch_up: Duration,
        work: impl AsyncFnOnce(&Handle, &mut Out) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let config = self.config()?;
        let keys = self.keys(&config, out)?;
        log::start(&config)?;
        let setup = crate::app::from_config(&config, what).map_err(|why| {
            Failure::new(Exit::Usage, "config", format!("{why:#}")).next("earnest config")
        })?;
        runtime()?.block_on(async {
            // A bot's command asks as a bot, and of who owns already.
            if let Some(actor) = crate::bot::command_actor() {
                let joined = crate::rpc::connect(&config.network_dir()).await;
                let handle = joined.map_err(|_| nobody_to_join())?;
                return work(&handle.acting_as(&actor), out).await;
            }
            let mut stop = pin!(interrupted());
            let mut opening = pin!(crate::rpc::open(setup, keys));
            // Signals first: they are heard before anything is opened.
            let door = tokio::select! {
                biased;
                failure = &mut stop => {
                    // What is half open is closed in order; a second signal does not wait for that.
                    tokio::select! {
                        Ok(Ok(door)) = tokio::time::timeout(OPENING, opening) => {
                            let _ = door.leave().await;
                        }
                        _ = interrupted() => {}
                        else => {}
                    }
                    return Err(failure);
                }
                door = &mut opening => door.map_err(|why| not_started(&why))?,
            };
            let work = async {
                // Without a relay there is nobody to listen to.
                let patience = if config.relays.is_empty() { Duration::ZERO } else { catch_up };
                hear(&door, patience).await;
                work(door.handle(), out).await
            };
            let done = tokio::select! {
                done = work => done,
                failure = &mut stop => Err(failure),
            };
            if let Some(said) = door.before_leaving() {
                out.say(&said)?;
            }
            // A second signal does not wait for a graceful end: it is not needed, only kinder to peers.
            let stopped = tokio::select! {
                stopped = door.leave() => stopped,
                failure = interrupted() => return done.and(Err(failure)),
            };
            if let Err(why) = stopped {
                tracing::warn!("{why:#}");
            }
            done
        })
    }
}

/// For an owner: waits until its engine is up and, where there is patience, until every relay that
/// answers has said all it has and nothing follows from it any more.
async fn hear(door: &Door, patience: Duration) {
    let Door::Owner(owning) = door else { return };
    let mut watch = owning.handle().watch();
    let quiet = async {
        loop {
            if watch.wait_for(has_heard).await.is_err() {
                return;
            }
            // What a relay says may lead to a new question to it.
            match tokio::time::timeout(QUIET, watch.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    // Who is not heard by then is heard while the work goes on.
    let _ = tokio::time::timeout(patience, quiet).await;
    let up = watch.wait_for(|now| now.identity.is_some());
    let _ = tokio::time::timeout(CATCH_UP, up).await;
}

/// Whether every relay has said all it has, or is in trouble.
pub(super) fn has_heard(now: &Arc<Snapshot>) -> bool {
    let mut relays = now.relays.iter();
    now.identity.is_some()
        && !now.relays.is_empty()
        && relays.all(|r| r.live || r.trouble.is_some())
}

/// The screen: what `earnest` without a verb opens.
impl Session {
    /// Whether there is a terminal to draw on and to read keys from.
    pub(super) fn may_show(&self) -> bool {
        self.may_ask() && io::stdout().is_terminal() && !self.globals.json
    }

    /// Draws at once, joins the owner of the directory or becomes it meanwhile, and leaves when the person
    /// does.
    pub(super) fn screen(&self, out: &mut Out) -> Result<Exit, Failure> {
        self.only_a_person("The screen")?;
        let config = self.config()?;
        if !crate::app::vault(&config).exists() {
            self.welcome(out)?;
        }
        let keys = self.keys(&config, out)?;
        log::start(&config)?;
        let setup = crate::app::from_config(&config, "earnest").map_err(|why| {
            Failure::new(Exit::Usage, "config", format!("{why:#}")).next("earnest config")
        })?;
        let folder = screen_folder(&config);
        let options = crate::tui::Options {
            network: config.network,
            settings: Some(folder.join("screen.toml")),
            themes: Some(folder.join("themes")),
            banner: None,
            lsp_fee_cap: (u64::from(config.fees.lsp_ppm_max), crate::app::MOST_LSP_FEE),
            lsp: config.lsp.as_ref().map(crate::config::Lsp::peer),
            faucet: None,
        };
        runtime()?.block_on(async {
            let ended = crate::tui::run(crate::rpc::open(setup, keys), options).await;
            if let Some(door) = ended.door {
                self.farewell(door, out).await?;
            }
            ended.why.map(|()| Exit::Done).map_err(|why| not_started(&why))
        })
    }

    /// Who has no keys yet is offered some, by the verb that makes them.
    fn welcome(&self, out: &mut Out) -> Result<(), Failure> {
        out.say(
            "Welcome to earnest. You have no keys here yet: one recovery phrase of 24 words, which is your \
             name and your money. Have paper ready.",
        )?;
        let answer = ask_line("Make them now? [y/N] ")?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            let said = "No keys were made, and nothing was started.";
            return Err(Failure::new(Exit::NotFound, "no-keys", said)
                .next("earnest init")
                .next("earnest init --restore, if you have a phrase"));
        }
        match Args::try_parse_from(["earnest", "init"]).map(|args| args.verb) {
            Ok(Some(init)) => init.run(self, out)?,
            _ => return Err(Failure::new(Exit::Failed, "no-init", "Run: earnest init")),
        };
        ask_line("Enter opens the screen. ").map(drop)
    }

    /// An owner stops everything in order; whoever reads this hears what waits meanwhile.
    async fn farewell(&self, door: crate::rpc::Door, out: &mut Out) -> Result<(), Failure> {
        if let crate::rpc::Door::Owner(owning) = &door {
            let snapshot = owning.handle().watch().borrow().clone();
            let open = snapshot.jobs.values().filter(|job| !job.phase.is_over()).count();
            let jobs = match open {
                0 => None,
                1 => Some("One job is not over. `earnest run` keeps it going".to_owned()),
                n => Some(format!("{n} jobs are not over. `earnest run` keeps them going")),
            };
            if let Some(jobs) = jobs {
                out.say(&format!("{jobs} without a screen."))?;
            }
        }
        let stopped = tokio::select! {
            stopped = door.leave() => stopped,
            failure = interrupted() => return Err(failure),
        };
        if let Err(why) = stopped {
            tracing::warn!("{why:#}");
        }
        Ok(())
    }
}

/// Where the choices for the screen and themes lie: beside `config.toml`.
fn screen_folder(config: &Config) -> std::path::PathBuf {
    let named = !matches!(config.source("data_dir"), None | Some(crate::config::Source::Default));
    match Folders::of_user() {
        Ok(folders) if !named => folders.config,
        _ => config.data_dir.clone(),
    }
}

/// What everything of a verb runs on.
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

/// Several threads: the node blocks in place.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Ok(Runtime(Some(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)))
}

impl Runtime {
    /// Runs until it is done.
    pub(super) fn block_on<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(runtime) => runtime.block_on(work),
            None => unreachable!("it is taken at the end alone"),
        }
    }
}

impl Drop for Runtime {
    /// Everything was stopped in order by now. A call that hangs in the node (a peer that does not answer)
    /// is not waited for long.
    fn drop(&mut self) {
        const GRACE: Duration = Duration::from_secs(2);
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(GRACE);
        }
    }
}

/// Ends at SIGINT or SIGTERM.
pub(super) async fn interrupted() -> Failure {
    let failure = Failure::new(
        Exit::Interrupted,
        "interrupted",
        "Stopped. What was begun is kept and goes on at the next start.",
    );
    let (Ok(mut int), Ok(mut term)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the system's own end the process, which is as safe.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    failure
}

fn nobody_to_join() -> Failure {
    let said = "No earnest runs here that could be joined, and a bot's command starts none. Nothing was done.";
    Failure::new(Exit::Offline, "no-owner", said).next("earnest run")
}

pub(super) fn not_started(why: &anyhow::Error) -> Failure {
    if crate::app::is_owned(why) {
        return Failure::new(Exit::Locked, "locked", format!("{why:#}"));
    }
    let said = format!("earnest did not start: {why:#}");
    Failure::new(Exit::Failed, "not-started", said).next("earnest doctor")
}

/// Waits until `is` holds of the newest snapshot, for as long as `patience`. Answers whether it does.
pub(super) async fn wait_until(
    handle: &Handle,
    patience: Duration,
    mut is: impl FnMut(&Arc<Snapshot>) -> bool,
) -> bool {
    let mut watch = handle.watch();
    let waited = tokio::time::timeout(patience, watch.wait_for(|shown| is(shown))).await;
    matches!(waited, Ok(Ok(_)))
}

/// All of a file, or of stdin if it is `-`, if it has at most `most` bytes.
pub(super) fn read_bytes(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(most + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|f| f.take(most + 1).read_to_end(&mut bytes))
    };
    let at = path.display();
    read.map_err(|why| {
        let exit = match why.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        let said = match why.kind() {
            io::ErrorKind::NotFound => format!("There is no file {at}."),
            _ => format!("{at} cannot be read: {why}."),
        };
        Failure::new(exit, "unreadable", said)
    })?;
    if bytes.len() as u64 > most {
        let said = format!("{at} is larger than {most} bytes.");
        return Err(Failure::new(Exit::Usage, "too-large", said));
    }
    Ok(bytes)
}

/// One line from the terminal, after a question.
pub(super) fn ask_line(question: &str) -> Result<Zeroizing<String>, Failure> {
    // The prompt stands on the line of the answer, so it is no line of `Out`'s.
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question}").and_then(|()| terminal.flush())?;
    let mut line = Zeroizing::new(String::new());
    if io::stdin().lock().take(4096).read_line(&mut line)? == 0 {
        let said = "The answer did not come. Nothing was changed.";
        return Err(Failure::new(Exit::Interrupted, "no-answer", said));
    }
    Ok(line)
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let (exit, code, next) = match &error {
            VaultError::Missing(_) => (Exit::NotFound, "no-keys", Some("earnest init")),
            VaultError::Exists(_) => {
                (Exit::Failed, "keys-exist", Some("Give another --data-dir for other keys"))
            }
            VaultError::OpenToOthers { .. } => (Exit::Failed, "keys-open-to-others", None),
            VaultError::Damaged(_) | VaultError::UnknownVersion { .. } => {
                (Exit::Failed, "keys-damaged", None)
            }
            VaultError::NeedsPassphrase(_) => {
                (Exit::Usage, "needs-passphrase", Some("Give --passphrase-file FILE"))
            }
            VaultError::WrongPassphrase(_) => (Exit::Failed, "wrong-passphrase", None),
            VaultError::Io { .. } => (Exit::Failed, "keys-io", None),
        };
        let failure = Self::new(exit, code, sentence(&error.to_string()));
        next.into_iter().fold(failure, Failure::next)
    }
}

impl From<PassphraseError> for Failure {
    fn from(error: PassphraseError) -> Self {
        let exit = match error {
            PassphraseError::NoTerminal => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, "passphrase", sentence(&error.to_string()))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(refusal) => {
                let exit = match refusal.code.as_str() {
                    "insufficient-funds" | "no-inbound" | "below-least-first" => Exit::Funds,
                    _ => Exit::Refused,
                };
                let failure =
                    Self::new(exit, refusal.code, refusal.sentence).money(match refusal.money {
                        market::Money::Untouched => Money::Untouched,
                        market::Money::Held => Money::Held,
                        market::Money::Spent => Money::Spent,
                    });
                refusal.next.into_iter().fold(failure, Failure::next)
            }
            Trouble::Failed(fault) => fault.into(),
            Trouble::NotFound { .. } => {
                Self::new(Exit::NotFound, "not-found", sentence(&trouble.to_string()))
            }
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Later(why) => Self::new(Exit::Offline, "later", why),
            Fault::Never(why) => Self::new(Exit::Failed, "never", why),
        }
    }
}

/// A clause as a sentence.
pub(super) fn sentence(clause: &str) -> String {
    let mut chars = clause.chars();
    let Some(first) = chars.next() else { return String::new() };
    // A path or a command is not capitalised.
    let first: String = match chars.clone().next() {
        Some(second) if second.is_alphabetic() || second == ' ' => first.to_uppercase().collect(),
        _ => first.to_string(),
    };
    let end = if clause.ends_with(['.', '!', '?', '`']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
