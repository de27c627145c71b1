use std::path::Path;

use super::*;

const NODE: &str = "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619";

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.at("config/config.toml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn folders(&self) -> Folders {
        Folders { config: self.at("config"), data: self.at("data"), home: self.at("home") }
    }

    fn load(&self, flags: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Config, Error> {
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        let env = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
        Config::load(&flags, env, Some(&self.folders()))
    }
}

fn urls(config: &Config) -> Vec<String> {
    config.relays.iter().map(|u| u.as_str().trim_end_matches('/').to_owned()).collect()
}

fn esplora(config: &Config) -> Option<String> {
    match &config.chain {
        Some(Chain::Esplora { url }) => Some(url.to_string()),
        _ => None,
    }
}

#[test]
fn with_nothing_said_it_is_signet_and_works() {
    let home = Home::new();
    let config = home.load(&[], &[]).unwrap();
    assert_eq!(config.network, Network::Signet);
    assert_eq!(config.data_dir, home.at("data"));
    assert_eq!(config.network_dir(), home.at("data/signet"));
    assert_eq!(urls(&config), RELAYS);
    assert_eq!(esplora(&config).unwrap(), "https://mempool.space/signet/api");
    assert_eq!(config.limits.max_deliverable_bytes, 4 << 30);
    assert_eq!(config.limits.max_input_bytes, 8 << 20);
    assert_eq!(config.iroh.relay, IrohRelay::Disabled);
    assert_eq!(config.log.file, home.at("data/earnest.log"));
    assert!(config.lsp.is_none());
    assert!(config.explain().iter().all(|(_, _, source)| *source == Source::Default));
}

#[test]
fn the_network_chooses_the_other_defaults() {
    let home = Home::new();
    let on = |network| home.load(&[("network", network)], &[]).unwrap();
    assert_eq!(esplora(&on("bitcoin")).unwrap(), "https://blockstream.info/api");
    let regtest = on("regtest");
    assert!(regtest.relays.is_empty() && regtest.chain.is_none());
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let home = Home::new();
    let path = home.file(
        "network = \"testnet\"\nrelays = [\"wss://a.example\", \"wss://a.example\"]\n\n[limits]\n\
         max_price_sats = 5_000\n[log]\nlevel = \"debug\"\nfile = \"logs/x\"\n",
    );
    let env =
        [("EARNEST_NETWORK", "regtest"), ("EARNEST_LOG_LEVEL", "warn"), ("EARNEST_SEED", "1")];
    let config = home.load(&[("network", "bitcoin")], &env).unwrap();
    assert_eq!(config.network, Network::Bitcoin);
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.log.file, home.at("config/logs/x"), "beside the file that names it");
    assert_eq!(config.limits.max_price_sats, 5_000);
    assert_eq!(urls(&config), ["wss://a.example"]);
    assert_eq!(config.source("network"), Some(&Source::Flag));
    assert_eq!(config.source("log.level"), Some(&Source::Env { name: "EARNEST_LOG_LEVEL".into() }));
    assert_eq!(config.source("limits.max_price_sats"), Some(&Source::File { path, line: 5 }));
    assert_eq!(config.source("fees.lsp_ppm_max"), Some(&Source::Default));
    assert_eq!(config.source("nothing"), None);
}

#[test]
fn a_data_dir_brings_its_own_file() {
    let home = Home::new();
    home.file("network = \"bitcoin\"");
    std::fs::create_dir_all(home.at("home/alice")).unwrap();
    std::fs::write(home.at("home/alice/config.toml"), "network = \"regtest\"").unwrap();
    let config = home.load(&[("data_dir", "~/alice")], &[]).unwrap();
    assert_eq!(config.network, Network::Regtest);
    assert_eq!(config.data_dir, home.at("home/alice"));
    let alice = home.at("home/alice");
    let env = |name: &str| (name == "EARNEST_DATA_DIR").then(|| alice.display().to_string());
    let config = Config::load(&[], env, None).unwrap();
    assert_eq!(config.data_dir, alice, "works where there is no home");
    assert!(matches!(Config::load(&[], |_| None, None), Err(Error::NoHome)));
}

#[test]
fn bitcoind_and_lsp_are_read_whole() {
    let home = Home::new();
    home.file(&format!(
        "network = \"signet\"\n[chain]\nhost = \"node.local\"\npassword_file = \"~/.cookie\"\n\
         [lsp]\nnode = \"{NODE}@[::1]:9735\"\ntoken = \"hunter2\"\n[iroh]\n\
         relay = \"https://relay.example\"\nbind = \"127.0.0.1:7000\""
    ));
    let config = home.load(&[("chain.port", "18443")], &[]).unwrap();
    let password = Password::File(home.at("home/.cookie"));
    let (host, user) = ("node.local".to_owned(), String::new());
    assert_eq!(config.chain, Some(Chain::Bitcoind { host, port: 18443, user, password }));
    let lsp = config.lsp.clone().unwrap();
    assert_eq!((lsp.node_id.to_string(), &*lsp.address), (NODE.to_owned(), "[::1]:9735"));
    assert!(matches!(config.iroh.relay, IrohRelay::Url(_)));
    assert_eq!(config.iroh.bind.port(), 7000);
}

#[test]
fn secrets_are_shown_nowhere() {
    let home = Home::new();
    home.file(&format!(
        "[chain]\nuser = \"bob\"\npassword = \"hunter2\"\n[lsp]\nnode = \"{NODE}@a.example:1\"\n\
         token = \"hunter2\""
    ));
    let config = home.load(&[], &[]).unwrap();
    let rows = config.explain();
    assert!(!format!("{config:?} {rows:?}").contains("hunter2"));
    let value = |key| rows.iter().find(|r| r.0 == key).unwrap().1.clone();
    assert_eq!((value("chain.password"), value("lsp.token")), ("***".into(), "***".into()));
    assert_eq!(rows.len(), KEYS.len(), "every key is explained");
    home.file("[chain]\npassword = \"hunter2\\n\"");
    assert!(!home.load(&[], &[]).unwrap_err().to_string().contains("hunter2"));
    let error = home.load(&[("chain.password", "hunter2")], &[]).unwrap_err().to_string();
    assert!(error.contains("every user of this machine") && !error.contains("hunter2"), "{error}");
}

#[test]
fn what_explain_shows_can_be_given_again() {
    let home = Home::new();
    home.file(&format!("[chain]\nurl = \"http://e.example/api/\"\n[lsp]\nnode = \"{NODE}@h:1\""));
    let first = home.load(&[], &[]).unwrap().explain();
    let given: Vec<_> = first.iter().filter(|r| !r.1.is_empty()).map(|r| (r.0, &*r.1)).collect();
    let second = home.load(&given, &[]).unwrap().explain();
    let values = |rows: &[(&'static str, String, Source)]| -> Vec<_> {
        rows.iter().map(|r| (r.0, r.1.clone())).collect()
    };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn a_mistake_is_refused_with_its_place() {
    let home = Home::new();
    for (text, said) in [
        (
            "network = \"signet\"\nnetwrok = \"x\"",
            ":2:1: there is no setting `netwrok`; did you mean `network`?",
        ),
        ("[chain]\n  uri = 1", ":2:3: there is no setting `chain.uri`; did you mean `chain.url`?"),
        (
            "max_price_sats = 1",
            ":1:1: there is no setting `max_price_sats`; did you mean `limits.max_price_sats`?",
        ),
        ("[colours]\na = 1", ":1:2: there is no setting `colours`"),
        ("\u{feff}a = ", "not valid TOML"),
        ("network = \n", ":1:1"),
        (
            "\n\nnetwork = \"mars\"",
            ":3:11: `network` is bitcoin, signet, testnet or regtest, not `mars`",
        ),
        ("network = true", ":1:11: `network` is bitcoin, signet, testnet or regtest"),
        ("network = [\"signet\"]", "`network` is one value, not a list"),
        ("network = \"a\\u001b[31m\\u202eb\"", "not `ab`"),
        ("relays = [\"https://a.example\"]", "`relays` needs an address wss:// or ws://HOST"),
        ("relays = [\"nonsense\"]", "`relays` needs an address wss:// or ws://HOST"),
        ("relays = [\"wss://u:hunter2@a.example\"]", "has a user or password"),
        ("relays = [1.5]", "must be a text"),
        (
            "[chain]\nurl = \"ftp://a.example\"",
            ":2:7: `chain.url` needs an address https:// or http://HOST",
        ),
        ("[chain]\nkind = \"electrum\"", "is esplora or bitcoind, not `electrum`"),
        ("[chain]\nkind = \"bitcoind\"", "needs chain.password_file"),
        ("[chain]\nhost = \"a\"", ":2:8: `chain.host` asks for bitcoind, which needs"),
        ("[chain]\nhost = \"a:1\"", "without a port"),
        ("[chain]\nhost = \"a\"\nurl = \"https://a.example\"", "say which with chain.kind"),
        ("[chain]\nport = 0", "is a port from 1 to 65535"),
        ("[chain]\nport = 70000", "is a port from 1 to 65535"),
        ("[chain]\npassword = \"a\"\npassword_file = \"b\"", "keep the file"),
        ("[chain]\npassword = \"a\"", "needs chain.user"),
        ("network = \"regtest\"\n[chain]\nkind = \"esplora\"", "set chain.url"),
        ("[lsp]\nnode = \"abc\"", "there is no @"),
        ("[lsp]\nnode = \"abc@h:1\"", "no public key of 66 hex digits"),
        ("[lsp]\ntoken = \"a\"", "needs lsp.node"),
        ("[iroh]\nrelay = \"yes\"", "is disabled, default or an address"),
        ("[iroh]\nbind = \"localhost\"", "is an address and a port"),
        ("[fees]\nrouting_ppm_max = 1_000_001", "is a whole number from 0 to 1000000"),
        ("[fees]\nrouting_base_max_sats = -1", "is a whole number from 0"),
        ("[limits]\nmax_price_sats = 0", "is a whole number from 1"),
        ("[limits]\nmax_input_bytes = \"8 MiB\"", "is a whole number from 1"),
        ("[limits]\nmax_input_bytes = 1e3", "must be a text, a decimal number"),
        (
            "[bot]\nchecks = [\"schema\", \"words\"]",
            "`bot.checks` is some of required, hash, schema, rules, wasm, not `words`",
        ),
        ("[log]\nlevel = \"loud\"", "is off, error, warn"),
        ("[log]\nfile = \"\"", "is empty; name a path"),
    ] {
        let path = home.file(text);
        let error = home.load(&[], &[]).expect_err(text).to_string();
        assert!(error.contains(said), "{text}\n{error}");
        assert!(error.starts_with(path.to_str().unwrap()) && !error.contains("hunter2"), "{error}");
    }
    home.file("");
    let error = home.load(&[], &[("EARNEST_NETWORK", "mars")]).unwrap_err().to_string();
    assert!(error.starts_with("$EARNEST_NETWORK: `network` is bitcoin"), "{error}");
    let error = home.load(&[("netwrok", "x")], &[]).unwrap_err().to_string();
    assert_eq!(error, "flag: there is no setting `netwrok`; did you mean `network`?");
    let error = home.load(&[], &[("EARNEST_DATA_DIR", "/a\u{fffd}")]).unwrap_err().to_string();
    assert_eq!(error, "$EARNEST_DATA_DIR: `data_dir` is not valid UTF-8");
    let error = Config::load(&[("data_dir", "~/a".to_owned())], |_| None, None).unwrap_err();
    assert!(error.to_string().contains("no home directory"), "{error}");
    let bad = format!("{NODE}@h:port");
    let error = home.load(&[("lsp.node", &bad)], &[]).unwrap_err().to_string();
    assert!(error.contains("`port` is no port"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_said_and_never_skipped() {
    let home = Home::new();
    std::fs::create_dir_all(home.at("config/config.toml")).unwrap();
    assert!(matches!(home.load(&[], &[]), Err(Error::Read { .. })));
    let home = Home::new();
    home.file(&"#".repeat(2 << 20));
    assert!(home.load(&[], &[]).unwrap_err().to_string().contains("larger than 1 MiB"));
    assert!(Path::new(&home.at("config/config.toml")).exists());
}
