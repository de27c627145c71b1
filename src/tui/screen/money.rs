//! What a price means for whoever earns it: said before the work, not after.

use crate::engine::NodeStatus;
use crate::market::Msat;
use crate::tui::Model;
use crate::tui::theme::Role;

/// What a worker would net of a price, in words.
pub(super) fn net(price: Msat, node: Option<&NodeStatus>, model: &Model) -> (String, Role) {
    let Some(node) = node else {
        return ("known once the node has started".into(), Role::Muted);
    };
    if node.balances.lightning_receivable >= price {
        return (format!("{price}: it comes over a channel you have"), Role::Money);
    }
    match node.least_first {
        None => {
            let why = "nothing can be received: there is no channel for it and no LSP to open one";
            (why.into(), Role::Bad)
        }
        Some(least) if price < least => {
            (format!("too small: the least that can be received now is {least}"), Role::Bad)
        }
        Some(_) => {
            // The LSP names its fee when it is asked for a bill; a higher one is refused.
            let (ppm, floor) = model.lsp_fee_cap;
            let fee = price.ppm(ppm).max(floor).min(price);
            let words = format!(
                "at least {}: the payment opens a channel, for which your LSP keeps at most {fee}",
                price.saturating_sub(fee)
            );
            (words, Role::Money)
        }
    }
}
