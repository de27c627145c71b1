//! What a price means for whoever earns it: said before the work, not after.

use crate::engine::{Net, NoNet, NodeStatus};
use crate::market::Msat;
use crate::tui::Model;
use crate::tui::theme::Role;

/// What a worker would net of a price, in words.
pub(super) fn net(price: Msat, node: Option<&NodeStatus>, model: &Model) -> (String, Role) {
    match of(price, node, model) {
        None => ("known once the node has started".into(), Role::Muted),
        Some(Ok(net)) => (net.words(), Role::Money),
        Some(Err(why)) => (why.words(), Role::Bad),
    }
}

/// The same before a bid: with what of it can be spent at once.
pub(super) fn net_at_once(price: Msat, node: Option<&NodeStatus>, model: &Model) -> (String, Role) {
    let (words, role) = net(price, node, model);
    let at_once = match of(price, node, model) {
        Some(Ok(net)) => format!(" {}", net.at_once()),
        _ => String::new(),
    };
    (format!("{words}.{at_once}"), role)
}

fn of(price: Msat, node: Option<&NodeStatus>, model: &Model) -> Option<Result<Net, NoNet>> {
    node.map(|node| node.nets(&[price], model.lsp_fee_cap))
}
