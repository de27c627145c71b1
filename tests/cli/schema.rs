//! What verbs print with `--json` is what `earnest schema` says they print; exit codes never change; a
//! shell completes ids.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;

use crate::scene;
use crate::shell::{Ended, Home};

/// The schemas as the binary prints them, compiled once.
struct Schemas<'a> {
    home: &'a Home,
    known: BTreeMap<String, jsonschema::Validator>,
}

impl Schemas<'_> {
    fn check(&mut self, name: &str, said: &str) -> usize {
        let home = self.home;
        let validator = self.known.entry(name.to_owned()).or_insert_with(|| {
            let schema = home.run(&format!("schema {name} --json")).done();
            jsonschema::draft202012::new(&schema).unwrap()
        });
        for line in said.lines() {
            let value: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("{name}: {line}"));
            let wrong: Vec<_> = validator.iter_errors(&value).map(|why| why.to_string()).collect();
            assert!(wrong.is_empty(), "{name}: {line}\n{}", wrong.join("\n"));
        }
        said.lines().count()
    }

    fn failed(&mut self, ended: &Ended) {
        let last = ended.err.lines().last().unwrap_or_default();
        assert_eq!(self.check("failure", last), 1, "{}", ended.line);
    }
}

#[test]
fn what_verbs_print_is_what_their_schemas_say() {
    let home = Home::with_keys();
    let env = |line: &str| {
        let mut command = home.command(line);
        command
            .env("EARNEST_NETWORK", "regtest")
            .env("EARNEST_CHAIN_URL", "http://127.0.0.1:1")
            .env("EARNEST_RELAYS", "ws://127.0.0.1:1");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Ended::of(line, child)
    };
    home.file("gig.toml", "title = \"T\"\nprice = 21000\n");
    home.file(
        "check.json",
        "{\"v\":1,\"kind\":\"schema\",\"scope\":\"whole\",\"unit\":\"whole\",\"schema\":\"{}\"}",
    );
    home.file("work.json", "{}");
    home.file("cheap.toml", "title = \"T\"\nprice = 1000\n");
    home.file(
        "bot.toml",
        "[requester]\ngig = 'cheap.toml'\naccept = 'inspected'\n[worker]\nquery = '#x'\ncommand = ['true']\n",
    );
    let key = "d41b22899549e1f3d335a31002cfd382174006e166d3e658e3a5eecdb6463573";
    let mut schemas = Schemas { home: &home, known: BTreeMap::new() };
    scene::play(&home.data().join("regtest"), || {
        for (name, line, least) in [
            ("jobs", "jobs all", 5),
            ("job", "job c0ffee11", 1),
            ("job", "job dea1e500", 1),
            ("files", "files dea1e500", 1),
            ("award", "award 7f3a1b2c --wait 0", 1),
            ("decline", "decline 7f3a9d00 --wait 0", 1),
            ("note", "note dea1e500 hello --wait 0", 1),
            ("accept", "accept c0ffee11 --yes", 1),
            ("people", "people", 1),
            ("mute", &format!("mute {key}"), 1),
            ("mute", "mute --list", 1),
            ("relays", "relays", 2),
            ("config", "config", 10),
            ("check", "check run check.json work.json", 1),
            ("check", "check hash check.json", 1),
            ("post", "post gig.toml --dry-run", 1),
            ("bot", "bot bot.toml --dry-run --once", 2),
            ("bot", "bot explain bot.toml", 1),
            ("bot", "bot budget", 1),
            ("help", "help exit-codes", 9),
            ("help", "help phases", 10),
            ("help", "help config", 10),
            ("help", "help json", 1),
            ("man", "man --out pages", 10),
            ("schema", "schema", 40),
            ("sandbox", "sandbox --list", 5),
            ("relay", "relay --print-config", 1),
        ] {
            let ended = env(&format!("{line} --json"));
            let told = schemas.check(name, &ended.ok());
            assert!(told >= least, "{line}: {told} records");
        }
        for line in ["job ffff", "job zz", "accept dea1e500 --yes", "nonsense", "post none.toml"] {
            let ended = env(&format!("{line} --json"));
            assert_ne!(ended.status, 0, "{line}");
            schemas.failed(&ended);
        }
    });
    let made = Home::new();
    schemas.check("init", &made.run("init --plain --no-input --json").ok());
    // What a person writes fits what is said about it, too.
    for (name, text, fits) in [
        ("gig-file", earnest::market::DRAFT_TEMPLATE, true),
        ("gig-file", "title = 'T'\nprice = '5sat'\ndeliver = '1h'\n", true),
        ("gig-file", "title = 'T'\nprice = 5\nprize = 5\n", false),
        ("gig-file", "price = 5\n", false),
        (
            "config-file",
            "network = 'signet'\n[mcp]\ndry_run = true\n[bot]\nper_job_sats = 1\n",
            true,
        ),
        ("config-file", "[bot]\nper_jop_sats = 1\n", false),
        ("policy-file", earnest::bot::EXAMPLE, true),
        ("policy-file", "[worker]\nquery = '#x'\n", false),
        ("policy-file", "[worker]\nquery = '#x'\ncommand = ['true']\nlok = '1s'\n", false),
    ] {
        let schema = home.run(&format!("schema {name} --json")).done();
        let file: toml::Table = text.parse().unwrap();
        let value = serde_json::to_value(file).unwrap();
        let valid = jsonschema::draft202012::new(&schema).unwrap().is_valid(&value);
        assert_eq!(valid, fits, "{name}: {text}");
    }
    assert_eq!(home.run("schema nonsense --json").failed(2)["code"], "no-schema");
}

#[test]
fn exit_codes_are_what_they_always_were() {
    let home = Home::new();
    let told = home.run("help exit-codes --json").ok();
    let codes: Vec<(u64, String)> = told
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            (row["status"].as_u64().unwrap(), row["meaning"].as_str().unwrap().to_owned())
        })
        .collect();
    let stable: Vec<u64> = codes.iter().map(|(status, _)| *status).collect();
    assert_eq!(stable, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    assert!(codes.iter().all(|(_, meaning)| !meaning.is_empty()));
    let page = home.run("man").ok();
    for (status, meaning) in &codes {
        let words = meaning.split([';', ' ']).next().unwrap();
        assert!(page.contains(&status.to_string()) && page.contains(words), "{status}: {page}");
    }
}

#[test]
fn a_shell_completes_verbs_without_an_owner_and_ids_with_one() {
    let home = Home::with_keys();
    let complete = |line: &str| {
        // As bash does: the words typed so far, the last of them being completed.
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = home.command("");
        // Not the flags that `Home` adds: only what was typed.
        command = {
            let mut plain = std::process::Command::new(command.get_program());
            plain.env_clear().env("HOME", home.dir()).current_dir(home.dir());
            plain
        };
        command
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true")
            .env("_CLAP_IFS", "\n")
            .env("EARNEST_NETWORK", "regtest")
            .env("EARNEST_DATA_DIR", home.data())
            .arg("--")
            .args(words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ended = Ended::of(line, child);
        assert_eq!(ended.err, "", "{line}");
        ended.ok().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(complete("earnest aw").contains(&"award".to_owned()));
    assert!(complete("earnest award ").iter().all(|word| !word.contains("7f3a")), "nobody runs");
    scene::play(&home.data().join("regtest"), || {
        let ids = complete("earnest award 7f3a");
        assert_eq!(ids.len(), 2, "{ids:?}");
        assert!(ids.iter().all(|id| id.starts_with("7f3a") && id.len() == 64), "{ids:?}");
        assert_eq!(complete("earnest job c0ff").len(), 1);
        assert!(complete("earnest people npub1").iter().all(|who| who.starts_with("npub1")));
        assert!(!complete("earnest people npub1").is_empty());
        let elsewhere = complete("earnest job --data-dir /nowhere c0ff");
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    });
}
