//! What a job would cost, before anybody is asked.

use serde_json::json;

use crate::engine::BudgetView;
use crate::market::{LEAST_PRICE, Msat, Query, Side, Sort};
use crate::mcp::ask::{Empty, Quote};
use crate::mcp::desk::{Desk, Done, No};
use crate::mcp::view;

impl Desk {
    /// Price, fees, what is free, and what others pay.
    pub(super) async fn quote(&self, ask: Quote) -> Done {
        let price = amount(ask.max_price_sats)?;
        let workers = ask.workers.unwrap_or(1).max(1);
        let budget = self.handle.budget().await?;
        let fee = self.options.routing(price).min(budget.budget.most_fee(price));
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
            no.push(format!(
                "The price is above limits.max_price_sats: {}.",
                self.options.max_price
            ));
        }
        if price > budget.budget.per_job {
            no.push(format!("One job of automation may cost {}.", budget.budget.per_job));
        }
        if most > budget.left() {
            no.push(format!("The budget has room for {} now.", budget.left()));
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
            "budget": told(&budget),
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
    pub(super) async fn budget_left(&self, _: Empty) -> Done {
        Ok(told(&self.handle.budget().await?))
    }
}

fn told(view: &BudgetView) -> serde_json::Value {
    let b = &view.budget;
    json!({
        "left_sats": view::sats(view.left()),
        "stopped": view.halted.as_ref().map(|why| format!("A person stopped all automation. {why}")),
        "one_job_sats": view::sats(b.per_job),
        "above_this_a_person_is_asked_sats": view::sats(b.approve_above),
        "at_risk_sats": view::sats(view.at_risk),
        "at_risk_limit_sats": view::sats(b.at_risk),
        "paid_in_an_hour_sats": view::sats(view.hour),
        "hour_limit_sats": view::sats(b.per_hour),
        "paid_in_a_day_sats": view::sats(view.day),
        "day_limit_sats": view::sats(b.per_day),
        "one_person_a_day_sats": view::sats(b.per_person),
        "modes": b.modes,
        "checks": b.checks,
        "wait_for_a_person": view.waiting,
        "note": "Kept by the engine for all bots and agents together. Only a person can change it: bot.* in the configuration.",
    })
}
