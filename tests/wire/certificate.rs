//! An identity's word for a session key.

use super::sample::*;
use earnest::market::*;
use earnest::wire::{self, Code};

#[test]
fn a_certificate_says_what_was_certified() {
    let what = certifying(Role::Worker);
    let certificate = wire::certify(&key(1), &what).unwrap();
    assert_eq!(certificate.identity, key(1).pubkey());
    assert_eq!(certificate.session, what.session);
    assert_eq!(certificate.terms, wire::terms_hash(&terms()));
    assert_eq!(wire::read_certificate(&certificate.event).unwrap(), certificate);
    assert_eq!(wire::certify(&key(1), &what).unwrap(), certificate, "signing again");
    no_byte_matters(&certificate.event, 1, wire::read_certificate);
}

#[test]
fn a_certificate_that_says_more_or_less_is_refused() {
    let honest = wire::certify(&key(1), &certifying(Role::Worker)).unwrap().event;
    let code = |change: &dyn Fn(&mut Vec<Vec<String>>, &mut String)| {
        let json = reforged(1, &honest, |t, c, _| change(t, c));
        wire::read_certificate(&json).unwrap_err().code
    };
    assert_eq!(code(&|t, _| t.push(vec!["extra".into()])), Code::BadField);
    assert_eq!(code(&|t, _| t.swap(2, 3)), Code::BadField);
    assert_eq!(code(&|_, c| c.push('!')), Code::BadField);
    assert_eq!(code(&|t, _| set_tag(t, "v", "2")), Code::UnknownVersion);
    assert_eq!(code(&|t, _| set_tag(t, "role", "judge")), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "network", "moon")), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "session", &"ff".repeat(32))), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "node", &"05".repeat(33))), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "terms", &"AB".repeat(32))), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "nonce", "00")), Code::BadTag);
    assert_eq!(code(&|t, _| t.retain(|t| t[0] != "endpoint")), Code::BadTag);
    assert_eq!(code(&|_, c| *c = "x".repeat(3000)), Code::TooLarge);
}
