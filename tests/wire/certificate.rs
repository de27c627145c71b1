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

fn judging() -> wire::Judging {
    wire::Judging {
        session: key(7).pubkey(),
        requester: key(1).pubkey(),
        worker: key(2).pubkey(),
        job: JobId([3; 32]),
        terms: wire::terms_hash(&terms()),
        nonce: Nonce([6; 32]),
        endpoint: EndpointId([4; 32]),
        network: Network::Regtest,
        at: NOW,
    }
}

#[test]
fn a_judges_certificate_is_for_one_job_of_two_people() {
    let certificate = wire::certify_judge(&key(9), &judging()).unwrap();
    assert_eq!(certificate.identity, key(9).pubkey());
    assert_eq!((certificate.requester, certificate.worker), (key(1).pubkey(), key(2).pubkey()));
    assert_eq!(wire::read_judge_certificate(&certificate.event).unwrap(), certificate);
    assert_eq!(wire::certify_judge(&key(9), &judging()).unwrap(), certificate, "signing again");
    no_byte_matters(&certificate.event, 9, wire::read_judge_certificate);
    // Neither is ever taken for the other.
    assert_eq!(wire::read_certificate(&certificate.event).unwrap_err().code, Code::BadTag);
    let sides = wire::certify(&key(1), &certifying(Role::Worker)).unwrap().event;
    assert_eq!(wire::read_judge_certificate(&sides).unwrap_err().code, Code::BadTag);
}

#[test]
fn a_judges_certificate_that_says_more_or_less_is_refused() {
    let honest = wire::certify_judge(&key(9), &judging()).unwrap().event;
    let code = |change: &dyn Fn(&mut Vec<Vec<String>>, &mut String)| {
        let json = reforged(9, &honest, |t, c, _| change(t, c));
        wire::read_judge_certificate(&json).unwrap_err().code
    };
    assert_eq!(code(&|t, _| t.push(vec!["extra".into()])), Code::BadField);
    assert_eq!(code(&|t, _| t.swap(3, 4)), Code::BadField);
    assert_eq!(code(&|_, c| c.push('!')), Code::BadField);
    assert_eq!(code(&|t, _| set_tag(t, "v", "2")), Code::UnknownVersion);
    assert_eq!(code(&|t, _| set_tag(t, "worker", &"ff".repeat(32))), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "job", "00")), Code::BadTag);
    assert_eq!(code(&|t, _| t.retain(|t| t[0] != "requester")), Code::BadTag);
}
