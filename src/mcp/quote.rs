//! What a job would cost, before anybody is asked.

use serde_json::json;

use crate::market::{LEAST_PRICE, Msat, Query, Side, Sort};
use crate::mcp::ask::Quote;
use crate::mcp::desk::{Desk, Done, No};
use crate::mcp::view;

impl Desk {
    /// Price, fees, what is free, and what others pay.
    pub(super) async fn quote(&self, ask: Quote) -> Done {
        let price = amount(ask.max_price_sats)?;
        let workers = ask.workers.unwrap_or(1).max(1);
        let fee = self.options.routing(price);
        let all = |each: Msat| {
            let all = each.get().checked_mul(u64::from(workers)).and_then(Msat::new);
            all.ok_or_else(|| No::new("too-much", "That is more than there is."))
        };
        let (prices, fees) = (all(price)?, all(fee)?);
        let most = prices.checked_add(fees).unwrap_or(Msat::MAX);
        let now = self.now();
        let spendable = now.node.as_ref().map_or(Msat::ZERO, |n| n.balances.lightning_spendable);
        let free = spendable.saturating_sub(now.reserved);
        let others = self.others(ask.query.as_deref().unwrap_or_default()).await?;
        let mut no = Vec::new();
        if price < LEAST_PRICE {
            no.push(format!("The price is below {LEAST_PRICE}."));
        }
        if price > self.options.max_price {
            no.push(format!("The price is above limits.max_price_sats: {}.", self.options.max_price));
        }
        if most > free {
            no.push(format!("{} are missing to pay all of it.", most.saturating_sub(free)));
        }
        Ok(json!({
            "each_sats": view::sats(price),
            "workers": workers,
            "work_sats": view::sats(prices),
            "routing_at_most_sats": view::sats(fees),
            "all_in_all_at_most_sats": view::sats(most),
            "free_sats": view::sats(free),
            "possible": no.is_empty(),
            "why_not": no,
            "others_pay": others,
            "budget": self.budget().await?,
        }))
    }

    /// What open gigs like it pay.
    async fn others(&self, line: &str) -> Done {
        let parsed = Query::parse(line, self.options.network, self.options.read_npub);
        let mut query = parsed.map_err(|why| No::new("bad-query", why.to_string()))?;
        (query.side, query.sort, query.limit) = (Some(Side::Request), Sort::Newest, 100);
        let page = self.handle.find(query).await?;
        let mut prices: Vec<Msat> = page.gigs.iter().map(|gig| gig.offer.price).collect();
        prices.sort_unstable();
        let at = |n: usize| prices.get(n).copied().map(view::sats);
        Ok(json!({
            "open_gigs": prices.len(),
            "lowest_sats": at(0),
            "median_sats": at(prices.len() / 2),
            "highest_sats": prices.last().copied().map(view::sats),
        }))
    }
}

/// Satoshis as an amount.
pub(super) fn amount(sats: u64) -> Result<Msat, No> {
    Msat::sats(sats).ok_or_else(|| No::new("too-much", "That is more than there will ever be."))
}

impl Desk {
    /// What the engine lets be spent yet.
    pub(super) async fn budget(&self) -> Done {
        Ok(serde_json::Value::Null)
    }

    /// What may still be spent.
    pub(super) async fn budget_left(&self, _: crate::mcp::ask::Empty) -> Done {
        self.budget().await
    }
}
