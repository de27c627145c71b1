//! The newcomer's place: an ordinary data directory with fresh keys and not a coin.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::app::{Keys, Lock, Secrets};
use crate::config::Config;
use crate::engine::Scribe as _;
use crate::sandbox::serve::{Served, write_private};

/// Whoever comes to learn. Any front end owns its directory like any other: `earnest --data-dir DIR`.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Newcomer {
    /// The data directory: `config.toml` and `keys.json` lie there.
    pub data_dir: PathBuf,
    /// Its identity, as people write it.
    pub npub: String,
}

impl Newcomer {
    /// Makes the directory, or goes on with the one there is. The keys are kept without a passphrase.
    pub(super) fn settle(data_dir: &Path, served: &Served) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
        made.with_context(|| format!("{} cannot be made", data_dir.display()))?;
        // Ports are other ones at every start.
        let path = data_dir.join("config.toml");
        write_private(&path, settings(served)?.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let mut this = Self { data_dir: data_dir.to_owned(), npub: String::new() };
        let config = this.config()?;
        if !crate::app::vault(&config).exists() {
            let secrets = Secrets { phrase: crate::app::new_phrase(), imported: None };
            crate::app::create_vault(&config, &secrets, &Lock::Plain)?;
        }
        this.npub = crate::app::npub(&this.keys()?.identity());
        Ok(this)
    }

    /// Its configuration: what the file in its directory says, and nothing else of this machine.
    ///
    /// # Errors
    /// Somebody has broken the file.
    pub fn config(&self) -> anyhow::Result<Config> {
        let dir = self.data_dir.to_str().context("The path of the sandbox is not UTF-8")?;
        Ok(Config::load(&[("data_dir", dir.to_owned())], |_| None, None)?)
    }

    /// Its keys.
    ///
    /// # Errors
    /// Somebody has put a passphrase on them, or broken the file.
    pub fn keys(&self) -> anyhow::Result<Arc<Keys>> {
        let opened = crate::app::vault(&self.config()?).open(None)?;
        Ok(crate::app::keys_of(&opened.secrets))
    }
}

/// `config.toml` for a guest of this sandbox.
fn settings(served: &Served) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct File<'a> {
        network: &'a str,
        relays: [&'a str; 1],
        chain: Chain<'a>,
        lsp: Lsp<'a>,
        iroh: Iroh<'a>,
    }
    #[derive(Serialize)]
    struct Chain<'a> {
        host: &'a str,
        port: u16,
        user: &'a str,
        password: &'a str,
    }
    #[derive(Serialize)]
    struct Lsp<'a> {
        node: &'a str,
    }
    #[derive(Serialize)]
    struct Iroh<'a> {
        bind: &'a str,
    }
    let node = &served.bitcoind;
    let file = File {
        network: "regtest",
        relays: [&served.relay],
        chain: Chain {
            host: &node.host,
            port: node.port,
            user: &node.user,
            password: &node.password,
        },
        lsp: Lsp { node: &served.lsp },
        iroh: Iroh { bind: "127.0.0.1:0" },
    };
    let head =
        "# Made by `earnest sandbox`, and made anew at every start. The coins are worth nothing.\n";
    Ok(format!("{head}{}", toml::to_string(&file)?))
}
