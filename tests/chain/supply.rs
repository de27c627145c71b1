//! Random turns of a sandbox: the coins always add up.

use bitcoin::Amount;
use earnest::sandbox::rules;
use proptest::prelude::*;

use crate::kept;
use crate::wallet::{SATS, Wallet};

#[derive(Debug, Clone)]
enum Turn {
    Mine(u32),
    Pay(u64),
    Reorganise(u32),
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (1_u32..40).prop_map(Turn::Mine),
        4 => (1_000_u64..2_000_000_000).prop_map(Turn::Pay),
        2 => (1_u32..6).prop_map(Turn::Reorganise),
        1 => Just(Turn::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is mined, paid, undone and reopened: all coins together are what miners were
    /// allowed to make, and whatever the faucet paid is confirmed or waits.
    #[test]
    fn no_satoshi_is_made_or_lost(turns in proptest::collection::vec(turn(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (dir, me) = (tempfile::tempdir().unwrap(), Wallet::new(1));
            let mut control = kept(dir.path()).await.unwrap();
            let mut paid = Vec::new();
            for turn in turns {
                match turn {
                    Turn::Mine(n) => drop(control.mine(n).await.unwrap()),
                    // Deep in a reorganisation the faucet may be dry, or its line of change full.
                    Turn::Pay(sats) => paid.extend(control.fund(&me.address(), SATS(sats)).await.ok()),
                    Turn::Reorganise(depth) => drop(control.reorg(depth).await.unwrap()),
                    Turn::Restart => {
                        let tip = control.tip().await.unwrap();
                        drop(control);
                        control = kept(dir.path()).await.unwrap();
                        assert_eq!(control.tip().await.unwrap(), tip);
                    }
                }
                let height = control.height().await.unwrap();
                let allowed: Amount = (1..=height).map(rules::subsidy).sum();
                assert_eq!(control.chain().unwrap().supply().1, allowed);
            }
            control.mine(1).await.unwrap();
            for txid in paid {
                assert!(control.confirmations(&txid).await.unwrap() > 0, "{txid} is lost");
            }
        });
    }
}
