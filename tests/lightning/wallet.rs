//! One directory, one owner, and its coins.

use crate::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_directory_has_one_owner_and_coins_go_out_and_home() {
    let world = World::new(1_000_000).await;
    let node = world.requester(2, 100_000).await;
    let refused = Node::start(world.config(2)).await.err().expect("two on one directory");
    let why = refused.to_string();
    assert!(why.contains(&format!("process {}", std::process::id())), "{why}");
    assert!(why.contains("already running"), "{why}");

    // The wallet's verbs: coins out, a channel closed, its coins home.
    let bad = never(node.send_onchain("not an address", 1_000).await.unwrap_err());
    assert!(bad.contains("No money moved"), "{bad}");
    never(node.send_onchain(&node.new_address().await.unwrap(), 10_000_000).await.unwrap_err());
    never(node.open_channel(world.lsp.peer(), 10_000_000).await.unwrap_err());
    never(node.close_channel("nothing", false).await.unwrap_err());
    let both = [node.holdings().await.unwrap(), world.lsp.holdings().await.unwrap()];
    let before: u64 = both.iter().map(|h| h.total().get()).sum();
    let to = world.lsp.new_address().await.unwrap();
    node.send_onchain(&to, 10_000).await.unwrap();
    let channels = node.channels().await.unwrap();
    let [channel] = channels.as_slice() else { panic!("one channel, not {channels:?}") };
    assert_eq!((channel.size, channel.ours), (sats(100_000), true));
    assert!(channel.confirmations >= Some(6));
    node.close_channel(&channel.id, false).await.unwrap();
    until("the closing transaction waits", || async {
        world.chain.client().waiting().await.unwrap().len() == 2
    })
    .await;
    let blocks = world.chain.height().await.unwrap();
    world.mine(6, &[&node]).await;
    let fees = world.chain.total_fees_msat(blocks).await.unwrap();
    assert!(fees > 0);
    let peer: Peer = world.lsp.peer().to_string().parse().unwrap();
    assert_eq!(&peer, world.lsp.peer());
    until("all is home and accounted for", || async {
        node.sync().await.unwrap();
        world.lsp.sync().await.unwrap();
        let (a, b) = (node.holdings().await.unwrap(), world.lsp.holdings().await.unwrap());
        let none = a.channels == Msat::ZERO && b.channels == Msat::ZERO;
        none && a.total().get() + b.total().get() + fees == before
    })
    .await;
    node.stop().await.unwrap();
    let again = world.worker(2).await;
    world.end(&[&again]).await;
}
