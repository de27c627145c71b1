//! The question before money moves, by keys.

use earnest::engine::{Command, EscrowView, HandPayment, Offered, WalletAnswer, WalletCommand};
use earnest::market::{Actor, EventId, Mode, Msat, PaymentHash, Phase, Role, Verb, escrow_risk};
use earnest::tui::{Do, Msg, Said};

use crate::stage::{Stage, full, job, market, sats};

/// A delivery that waits for its payment, of a price that is confirmed with one key.
fn small() -> Stage {
    let mut stage = full((80, 24));
    stage.keys("3");
    stage
}

/// One above the person's own limit.
fn large() -> Stage {
    let mut snapshot = market();
    snapshot.jobs.clear();
    let dear = job(11, Role::Requester, Phase::Delivered, "Label", 250_000);
    snapshot.jobs.insert(dear.id, dear.into());
    let mut stage = Stage::up((80, 24), snapshot, Vec::new());
    stage.keys("3");
    stage
}

/// A job whose money waits to be locked: the worker's bill is here, or not yet.
fn to_lock(refund_by: Option<u32>) -> Stage {
    let mut snapshot = market();
    snapshot.jobs.clear();
    let mut held = job(11, Role::Requester, Phase::Awarded, "Label", 21_000);
    held.mode = Mode::Escrow;
    held.legal.insert(0, Offered { verb: Verb::Fund, refusal: None });
    held.escrow = Some(EscrowView {
        window: 288,
        judge: None,
        hash: PaymentHash([1; 32]),
        attempt: 0,
        end: refund_by.map(|_| 871_204 + 288),
        deliver_by: None,
        claim_by: None,
        otherwise: None,
        funded: None,
        refund_by,
        locked: false,
        asked_back: false,
        received: None,
        lsp_fee: Msat::ZERO,
        fee: Msat::ZERO,
        risk: escrow_risk(Role::Requester).into(),
    });
    snapshot.jobs.insert(held.id, held.into());
    let mut stage = Stage::up((100, 30), snapshot, Vec::new());
    stage.keys("3 u");
    stage
}

#[test]
fn when_locked_money_is_back_is_said_before_and_no_earlier_than_is_so() {
    to_lock(Some(871_999))
        .says("Lock the money?")
        .says("back by block 871999: 795 blocks from now, about 5 d 12 h")
        .silent("288 blocks");
    to_lock(None)
        .says("back by block 871868 if it is locked now, plus what the worker's bill adds")
        .says("664 blocks, about 4 d 14 h");
}

fn paid(stage: &mut Stage) -> bool {
    match stage.commands().as_slice() {
        [] => false,
        [Command::Accept { job, max_fee }] => {
            assert_eq!(*job, EventId([11; 32]));
            assert!(*max_fee >= sats(10));
            true
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_says_who_what_how_much_and_what_can_go_wrong() {
    small()
        .keys("a")
        .says("you pay 21,000 sat")
        .says("with npub1")
        .says("no job settled with you yet")
        .says("for Label 4,000 street photographs")
        .says("routing fee at most 210 sat")
        .says("all in all at most 21,210 sat")
        .says("you get a proof of fraud, not the money")
        .says("cannot be undone")
        .says("▸[ No ]");
}

#[test]
fn the_answer_is_no_until_somebody_says_otherwise() {
    let mut stage = small();
    stage.keys("a enter");
    assert!(!paid(&mut stage));
    stage.says("Nothing was sent");
    assert!(stage.model.layers.is_empty());
    for no in ["esc", "n", "tab tab enter"] {
        let mut stage = small();
        stage.keys("a").keys(no);
        assert!(!paid(&mut stage), "{no}");
        assert!(stage.model.layers.is_empty(), "{no}");
    }
}

#[test]
fn yes_is_marked_or_pressed() {
    for yes in ["tab enter", "right enter", "y"] {
        let mut stage = small();
        stage.keys("a").keys(yes);
        assert!(paid(&mut stage), "{yes}");
    }
}

#[test]
fn a_key_that_was_on_its_way_answers_nothing() {
    for early in ["enter", "y"] {
        let mut stage = small();
        stage.keys("a");
        stage.at.ms += 399;
        stage.press("tab");
        stage.press(early);
        assert!(!paid(&mut stage), "{early}");
        assert!(!stage.model.layers.is_empty(), "the question still stands");
        stage.at.ms += 1;
        stage.press(early);
        assert!(paid(&mut stage), "{early}");
    }
}

#[test]
fn a_paste_answers_nothing_and_neither_does_an_enter_behind_it() {
    let mut stage = small();
    stage.keys("a tab");
    stage.send(Msg::Paste("y\n21000\n".into()));
    stage.press("enter");
    assert!(!paid(&mut stage));
    assert!(!stage.model.layers.is_empty());
    // On the screen itself a paste presses no key either.
    let mut stage = small();
    stage.send(Msg::Paste("a".into()));
    assert!(stage.model.layers.is_empty());
}

#[test]
fn above_the_limit_the_amount_is_typed() {
    let mut stage = large();
    stage.keys("a").says("Type 250000 and Enter to pay");
    stage.keys("y tab enter");
    assert!(!paid(&mut stage), "no single key pays it");
    stage.says("That is not the amount");
    stage.typed("25000").keys("enter").says("That is not the amount. Nothing was sent.");
    assert!(!paid(&mut stage));
    stage.typed("0").keys("enter");
    assert!(paid(&mut stage));
}

#[test]
fn above_the_limit_an_enter_on_nothing_is_no() {
    let mut stage = large();
    stage.keys("a enter");
    assert!(!paid(&mut stage));
    assert!(stage.model.layers.is_empty());
}

#[test]
fn the_limit_is_the_persons_own() {
    let mut stage = large();
    stage.model.settings.type_above = sats(250_000);
    stage.keys("a y");
    assert!(paid(&mut stage));
    let mut stage = small();
    stage.model.settings.type_above = sats(0);
    stage.keys("a y");
    assert!(!paid(&mut stage));
}

/// A bid that a bot wanted to take and that is above what it may decide alone.
fn above_the_bots_limit() -> Stage {
    let mut snapshot = market();
    snapshot.jobs.clear();
    let mut dear = job(11, Role::Requester, Phase::Bid, "Label", 21_000);
    dear.asked = Some((Actor::bot("labels").unwrap(), Verb::Award));
    dear.legal.insert(0, Offered { verb: Verb::Approve, refusal: None });
    snapshot.jobs.insert(dear.id, dear.into());
    let mut stage = Stage::up((100, 30), snapshot, Vec::new());
    stage.keys("3");
    stage
}

#[test]
fn what_a_bot_may_not_decide_alone_waits_for_a_yes() {
    for no in ["enter", "esc", "n"] {
        let mut stage = above_the_bots_limit();
        stage.says("asks you whether bot:labels may award: it is above its limit");
        stage.keys("b").says("Let the bot do it?").says("who asks bot:labels").says("to do award");
        stage.says("it may promise 21,000 sat").says("Its other limits still hold");
        stage.keys(no);
        assert!(stage.commands().is_empty(), "{no}");
        assert!(stage.model.layers.is_empty(), "{no}");
    }
    let mut stage = above_the_bots_limit();
    stage.keys("b y");
    let yes = Command::Approve { job: EventId([11; 32]) };
    assert_eq!(stage.commands(), [yes]);
    // Where nobody asks there is nothing to say yes to.
    let mut stage = small();
    stage.keys("b");
    assert!(stage.model.layers.is_empty());
    assert!(stage.commands().is_empty());
}

#[test]
fn an_award_promises_and_moves_nothing() {
    let mut stage = full((120, 40));
    stage.keys("3 / F i n d enter w").says("you promise 150,000 sat").says("No money moves now");
    stage.keys("y");
    assert!(matches!(stage.commands().as_slice(), [Command::Award { .. }]));
}

#[test]
fn leaving_while_money_moves_is_asked_about_once_and_only_of_the_owner() {
    use earnest::tui::Do;
    let quits = |stage: &Stage| stage.todo.iter().any(|one| matches!(one, Do::Quit));
    let calm = || {
        let mut stage = small();
        stage.snapshot.node.as_mut().unwrap().balances.held_incoming = sats(0);
        stage
    };
    let mut stage = calm();
    stage.snapshot.waiting = 2;
    stage.keys("q").says("Quit anyway?").says("2 messages").says("earnest run");
    stage.says("what was begun goes on at the next start");
    assert!(!quits(&stage));
    stage.keys("ctrl-c");
    assert!(quits(&stage));
    let mut stage = calm();
    stage.keys("q");
    assert!(quits(&stage));
    let mut guest = calm();
    guest.snapshot.waiting = 2;
    guest.model.owner = false;
    guest.keys("q");
    assert!(quits(&guest), "the owner goes on");
}

/// The form for a payment by hand, filled in.
fn paying(to: &str, amount: &str) -> Stage {
    let mut stage = full((80, 24));
    stage.keys("4 p").typed(to).keys("tab").typed(amount).keys("tab enter");
    stage
}

#[test]
fn a_payment_by_hand_is_confirmed_with_its_amount_and_pays_no_other() {
    let mut stage = paying("lnbcrt210u1abcdefgh", "");
    stage.says("you pay 21,000 sat").says("to lnbcrt210u1abcdefgh").says("at most 210 sat");
    stage.keys("enter").says("Nothing was sent");
    assert_eq!(stage.by_hand(), None);
    let mut stage = paying("lnbcrt210u1abcdefgh", "");
    stage.keys("y");
    match stage.by_hand() {
        Some((_, WalletCommand::Pay { to, amount, max_fee })) => {
            assert_eq!(to, "lnbcrt210u1abcdefgh");
            assert_eq!((amount, max_fee), (Some(sats(21_000)), sats(210)));
        }
        other => panic!("{other:?}"),
    }
    stage.answer_wallet(Ok(WalletAnswer::Payment(HandPayment::Paid { fee: sats(3) })));
    stage.says("Paid. Routing cost 3 sat.");
}

#[test]
fn what_cannot_be_paid_says_so_before_anything_is_asked() {
    for (to, amount, why) in [
        ("hello", "", "That is no invoice"),
        ("lnbcrt1abc", "", "It names no amount"),
        ("lnbcrt210u1abc", "5", "It asks for 21,000 sat, and you wrote 5 sat"),
        ("bcrt1qx", "much", "is not an amount"),
    ] {
        let mut stage = paying(to, amount);
        stage.says(why);
        assert_eq!(stage.by_hand(), None, "{to}");
    }
    paying("bcrt1qxyz", "200000").says("the chain's, on top").says("are missing");
}

#[test]
fn an_invoice_that_is_pasted_opens_the_form_and_pays_nothing() {
    let mut stage = full((80, 24));
    stage.send(Msg::Paste("lnbcrt210u1abcdefgh\n".into()));
    stage.says("Pay somebody").says("lnbcrt210u1abcdefgh");
    assert_eq!(stage.by_hand(), None);
}

#[test]
fn an_invoice_of_ours_is_shown_with_what_the_lsp_keeps_and_copied() {
    use earnest::tui::Do;
    let mut stage = full((120, 40));
    stage.keys("4 r").typed("30000").keys("tab").typed("for tea").keys("tab enter");
    let asked = stage.by_hand().map(|(_, command)| command);
    let description = "for tea".to_owned();
    assert_eq!(asked, Some(WalletCommand::Receive { amount: Some(sats(30_000)), description }));
    let invoice = "lnbcrt300u1qqqq".to_owned();
    stage.answer_wallet(Ok(WalletAnswer::Invoice { invoice, lsp_fee: sats(3_000) }));
    stage.says("your LSP keeps at most 3,000 sat").says("lnbcrt300u1qqqq").says("█ ███ █");
    stage.keys("y");
    assert!(
        stage.todo.iter().any(|one| matches!(one, Do::Copy(text) if text == "lnbcrt300u1qqqq"))
    );
    stage.keys("esc").silent("Whoever pays this");
}

#[test]
fn a_channel_is_closed_only_after_a_question() {
    let mut stage = full((80, 24));
    stage.keys("4");
    crate::stage::fed(&mut stage);
    stage.keys("v x").says("Close this channel?").says("not opened again").keys("enter");
    assert_eq!(stage.by_hand(), None);
    stage.keys("f").says("locked for some days").keys("y");
    let id = "channel-2".to_owned();
    let asked = stage.by_hand().map(|(_, command)| command);
    assert_eq!(asked, Some(WalletCommand::CloseChannel { id, force: true }));
    stage.answer_wallet(Err(earnest::tui::Said::new("The peer is away. No money moved.")));
    stage.says("The peer is away. No money moved.");
}

#[test]
fn play_coins_come_from_the_faucet_of_a_sandbox_and_nowhere_else() {
    let mut stage = full((120, 40));
    stage.keys("4").silent("c play coins").keys("c").says("There is no faucet here");
    assert!(!stage.todo.iter().any(|one| matches!(one, Do::Coins(_))));
    stage.model.faucet = true;
    let asked = |stage: &mut Stage| {
        stage.todo.clear();
        stage.keys("esc").says("c play coins").keys("c").says("The faucet is asked");
        stage.todo.iter().find_map(|one| if let Do::Coins(id) = one { Some(*id) } else { None })
    };
    let id = asked(&mut stage).expect("the faucet is asked");
    stage.send(Msg::Coins(id, Ok(sats(200_000))));
    stage.says("200,000 sat are on the chain: yours in a moment");
    let id = asked(&mut stage).expect("the faucet is asked again");
    stage.send(Msg::Coins(id, Err(Said::new("The faucet gave nothing: it is dry."))));
    stage.says("The faucet gave nothing: it is dry.");
    assert!(stage.model.asked.is_empty(), "nothing is waited for");
}

#[test]
fn a_channel_is_with_the_lsp_unless_somebody_else_is_named() {
    let mut stage = full((120, 40));
    stage.keys("4 n").silent("your LSP").keys("tab tab enter").says("With whom?").keys("esc");
    let lsp = format!("{}@127.0.0.1:9735", "02".repeat(33));
    stage.model.lsp = Some(lsp.clone());
    stage.keys("6").says("127.0.0.1:9735");
    stage.keys("4 n").says("It is with your LSP").keys("tab tab enter").says("Open this channel?");
    stage.typed("100000").keys("enter");
    match stage.by_hand() {
        Some((_, WalletCommand::OpenChannel { peer, sats })) => {
            assert_eq!((peer, sats), (lsp, 100_000));
        }
        other => panic!("{other:?}"),
    }
}
