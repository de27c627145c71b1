//! What a story of bots is held against: everybody's purses, the node's payments, the folder of results.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::bots::item;
use crate::engine::{Direction, Lightning as _, PaymentState};
use crate::market::{Msat, PaymentHash};
use crate::sandbox::story::{FileSummary, PartySummary, PaymentSummary, Teller};
use crate::sandbox::world::{Party, Purse, World};

/// What everybody had at the beginning.
pub(super) struct Books {
    first: Purse,
    others: Vec<Purse>,
    lsp: Purse,
}

impl Books {
    pub(super) async fn open(
        world: &World,
        first: &Party,
        others: &[Party],
    ) -> anyhow::Result<Self> {
        let mut purses = Vec::new();
        for party in others {
            purses.push(party.purse().await?);
        }
        Ok(Self { first: first.purse().await?, others: purses, lsp: world.lsp_purse().await? })
    }

    /// Adds everything up: only the faucet enters the sum, and only miners take from it.
    pub(super) async fn close(
        self,
        teller: &mut Teller<'_>,
        world: &mut World,
        first: &Party,
        others: &[Party],
        lsp_fee: Msat,
    ) -> anyhow::Result<()> {
        let parties: Vec<&Party> = std::iter::once(first).chain(others).collect();
        world.still(&parties).await?;
        world.mine(6, &parties).await?;
        let before = std::iter::once(self.first).chain(self.others);
        let mut diff = 0i128;
        let mut routing = 0;
        for (party, before) in parties.iter().zip(before) {
            let after = party.purse().await?;
            diff += i128::from(after.total()) - i128::from(before.total());
            for row in party.app.handle().payments().await? {
                if row.direction == Direction::Out && row.state == "paid" {
                    routing += row.fee.get();
                }
            }
            let summary = PartySummary {
                npub: party.app.npub(),
                node_id: party.app.node().node().to_string(),
                pid: std::process::id(),
                data_dir: party.dir.clone(),
                before_msat: before,
                after_msat: after,
            };
            teller.summary.parties.insert(party.name.into(), summary);
        }
        let lsp = world.lsp_purse().await?;
        diff += i128::from(lsp.total()) - i128::from(self.lsp.total());
        let summary = PartySummary {
            node_id: world.lsp().peer().id.to_string(),
            pid: std::process::id(),
            data_dir: world.dir().join("lsp"),
            before_msat: self.lsp,
            after_msat: lsp,
            ..PartySummary::default()
        };
        teller.summary.parties.insert("lsp".into(), summary);
        let (faucet, onchain) = world.books().await?;
        let summary = &mut teller.summary;
        summary.faucet_msat = faucet;
        summary.fees_msat.onchain = onchain;
        summary.fees_msat.lsp = lsp_fee.get();
        summary.fees_msat.routing = routing;
        summary.diff_msat = diff + i128::from(onchain) - i128::from(faucet);
        summary.events_by_kind = world.events_by_kind().await.unwrap_or_default();
        let diff = i64::try_from(summary.diff_msat).unwrap_or(i64::MAX);
        teller.claim("every satoshi is accounted for", 0, diff);
        Ok(())
    }
}

/// Every job's payment that the node itself says is done, by hash; told in the summary.
pub(super) async fn payments(
    teller: &mut Teller<'_>,
    party: &Party,
    except: &BTreeSet<PaymentHash>,
) -> anyhow::Result<BTreeMap<PaymentHash, Msat>> {
    let mut paid = BTreeMap::new();
    for row in party.app.handle().payments().await? {
        if row.direction != Direction::Out || except.contains(&row.hash) {
            continue;
        }
        let state = party.app.node().lookup(&row.hash).await?;
        let (preimage, word) = match &state {
            PaymentState::Paid { preimage, .. } => (Some(hex::encode(preimage.expose())), "paid"),
            PaymentState::InFlight => (None, "inflight"),
            PaymentState::Failed { .. } => (None, "failed"),
            PaymentState::Unknown => (None, "unknown"),
        };
        if word == "paid" {
            paid.insert(row.hash, row.amount);
        }
        teller.summary.payments.push(PaymentSummary {
            hash: row.hash.to_string(),
            preimage,
            amount_msat: row.amount.get(),
            from: party.name.into(),
            to: "worker".into(),
            mode: "sealed".into(),
            state: word.into(),
        });
    }
    Ok(paid)
}

/// The folder of results holds each item once, and each is what was asked.
pub(super) async fn results(teller: &mut Teller<'_>, out: &Path, jobs: u32) -> anyhow::Result<()> {
    let list = tokio::fs::read_to_string(out.join("results.jsonl")).await.unwrap_or_default();
    let mut ids = Vec::new();
    let mut right = 0u32;
    for line in list.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let id = line["id"].as_str().unwrap_or_default().to_owned();
        let file = out.join(line["file"].as_str().unwrap_or_default());
        let bytes = tokio::fs::read(&file).await.unwrap_or_default();
        let n = id.strip_prefix("item-").and_then(|n| n.parse().ok()).unwrap_or(0);
        // The line was written anew as JSON: the same fields, in upper case.
        let want = serde_json::from_str::<serde_json::Value>(&item(n).1).ok();
        right += u32::from(serde_json::from_slice(&bytes).ok() == want && want.is_some());
        teller.summary.files.push(FileSummary {
            sent: PathBuf::from(&id),
            received: file.clone(),
            sha256: super::first_job::sha256_file(&file).await.unwrap_or_default(),
            bytes: bytes.len() as u64,
        });
        ids.push(id);
    }
    let once: BTreeSet<&String> = ids.iter().collect();
    teller.claim(
        "each result is listed, once",
        (jobs as usize, jobs as usize),
        (ids.len(), once.len()),
    );
    teller.claim("each result is what was asked", jobs, right);
    Ok(())
}

pub(super) fn first_file(out: &Path) -> anyhow::Result<PathBuf> {
    let list = std::fs::read_to_string(out.join("results.jsonl"))?;
    let line = list.lines().next().context("there is no result")?;
    let line: serde_json::Value = serde_json::from_str(line)?;
    Ok(out.join(line["file"].as_str().unwrap_or_default()))
}

pub(super) async fn stop(world: World, first: Party, others: Vec<Party>) -> anyhow::Result<()> {
    first.app.stop().await?;
    for party in others {
        party.app.stop().await?;
    }
    world.stop().await
}
