//! The file that other programs test themselves against.

use super::sample::*;
use earnest::market::*;
use earnest::wire::{self, ChannelKeys, SigningKey, Stage};
use nostr::JsonUtil;
use serde_json::Value;

/// The file that other programs test themselves against.
fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/wire.json")).unwrap()
}

fn text<'a>(vectors: &'a Value, path: &str) -> &'a str {
    vectors.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path}"))
}

fn bytes(vectors: &Value, path: &str) -> [u8; 32] {
    hex::decode(text(vectors, path)).unwrap().try_into().unwrap()
}

fn secret(vectors: &Value, path: &str) -> SigningKey {
    SigningKey::new(&bytes(vectors, path)).unwrap()
}

#[test]
fn the_vectors_of_the_job_and_its_terms() {
    let v = vectors();
    let j =
        earnest::market::job_id(&EventId(bytes(&v, "/job/bid")), &EventId(bytes(&v, "/job/award")));
    assert_eq!(j.to_string(), text(&v, "/job/j"));
    let terms: Terms = serde_json::from_value(v["terms"]["value"].clone()).unwrap();
    assert_eq!(wire::to_canonical(&terms).unwrap(), text(&v, "/terms/canonical"));
    assert_eq!(wire::terms_hash(&terms).to_string(), text(&v, "/terms/hash"));
}

#[test]
fn the_vectors_of_milestones() {
    let v = vectors();
    let terms: Terms = serde_json::from_value(v["milestones"]["value"].clone()).unwrap();
    assert_eq!(wire::to_canonical(&terms).unwrap(), text(&v, "/milestones/canonical"));
    assert_eq!(wire::terms_hash(&terms).to_string(), text(&v, "/milestones/hash"));
    // What stands beside them is what they say, or nobody would read it.
    assert_eq!(terms.clone().in_milestones(terms.milestones.clone()), terms);
    let hold = |key: &str| v["milestones"]["hold"][key].as_u64().unwrap() as u32;
    let (x, nonce) = (Preimage::new(bytes(&v, "/escrow/x")), Nonce([7; 32]));
    let lock =
        Lock { milestone: hold("milestone"), attempt: hold("attempt"), hash: x.hash(), nonce };
    let purpose = hold_purpose(&JobId(bytes(&v, "/milestones/hold/j")), &lock);
    assert_eq!(purpose.to_string(), text(&v, "/milestones/hold/description_hash"));
}

#[test]
fn the_vectors_of_an_escrow() {
    let v = vectors();
    let x = Preimage::new(bytes(&v, "/escrow/x"));
    assert_eq!(x.hash().to_string(), text(&v, "/escrow/hash"));
    let number = |path: &str| u32::try_from(v.pointer(path).unwrap().as_u64().unwrap()).unwrap();
    let lock = Lock {
        milestone: number("/escrow/milestone"),
        attempt: number("/escrow/attempt"),
        hash: x.hash(),
        nonce: Nonce(bytes(&v, "/escrow/nonce")),
    };
    let purpose = hold_purpose(&JobId(bytes(&v, "/escrow/j")), &lock);
    assert_eq!(purpose.to_string(), text(&v, "/escrow/description_hash"));
    let tables = v["escrow"]["timetables"].as_array().unwrap();
    assert!(tables.len() > 3);
    for table in tables {
        let n = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let t = Timetable { end: n(&table["p"]), window: n(&table["window"]) };
        let ours = [
            t.holding(),
            t.deliver(),
            t.verdict(),
            t.escalate(),
            t.objection(),
            t.ruling(),
            t.claim(),
        ];
        let theirs: Vec<u32> = table["marks"].as_array().unwrap().iter().map(n).collect();
        assert_eq!(theirs, ours);
    }
}

#[test]
fn the_vectors_of_a_receipt() {
    let v = vectors();
    let hash = PaymentHash(bytes(&v, "/receipt/payment_hash"));
    let payment = wire::salted(&bytes(&v, "/receipt/s"), &hash);
    assert_eq!(payment.to_string(), text(&v, "/receipt/payment"));
    let receipt: JobReceipt = serde_json::from_str(text(&v, "/receipt/canonical")).unwrap();
    assert_eq!(wire::to_canonical(&receipt).unwrap(), text(&v, "/receipt/canonical"));
    assert_eq!(receipt.payment, payment);
    let signed = |side: &str| {
        let key = secret(&v, &format!("/receipt/{side}_secret"));
        let signature = wire::cosign(&key, &receipt).unwrap();
        assert_eq!(signature.to_string(), text(&v, &format!("/receipt/{side}_signature")));
        (key, signature)
    };
    let ((_, requester), (publisher, worker)) = (signed("requester"), signed("worker"));
    let both = CoSigned { receipt, requester, worker };
    assert_eq!(wire::read_receipt_event(text(&v, "/receipt/event")).unwrap(), both);
    assert_eq!(wire::receipt_event(&publisher, &both).unwrap().1, text(&v, "/receipt/event"));
    // One side's signature on both places is no receipt, and neither is any other word in it.
    let one = CoSigned { worker: both.requester, ..both.clone() };
    assert_eq!(wire::receipt_event(&publisher, &one).unwrap_err().code, wire::Code::BadSignature);
    let mut more = both.clone();
    more.receipt.amount += 1;
    assert_eq!(wire::receipt_event(&publisher, &more).unwrap_err().code, wire::Code::BadSignature);
}

#[test]
fn the_vectors_of_a_case() {
    let v = vectors();
    let (job, hash) = (JobId(bytes(&v, "/case/j")), PaymentHash(bytes(&v, "/case/hash")));
    let case = case_id(&job, &hash);
    assert_eq!(case.to_string(), text(&v, "/case/id"));
    let certificate = wire::read_judge_certificate(text(&v, "/case/certificate/event")).unwrap();
    assert_eq!(certificate.identity, secret(&v, "/case/certificate/secret").pubkey());
    assert_eq!(certificate.job, job);
    let record = wire::read_record(text(&v, "/case/holding/event")).unwrap();
    assert_eq!(record.draft.job, Some(JobId(case.0)));
    let again = wire::sign_record(&secret(&v, "/case/holding/secret"), &record.draft).unwrap();
    assert_eq!(again, record);
    assert_eq!(record.author, certificate.session);
    let Body::Holding { hash: held, certificate: inside, .. } = &record.draft.body else {
        panic!("not a holding");
    };
    assert_eq!((*held, inside), (hash, &certificate.event));
}

#[test]
fn the_vectors_of_the_channel() {
    let v = vectors();
    let (a, b) = (secret(&v, "/channel/secret_a"), secret(&v, "/channel/secret_b"));
    let job = JobId(bytes(&v, "/channel/j"));
    for (ours, theirs) in [(&a, &b), (&b, &a)] {
        let keys = ChannelKeys::derive(ours, &theirs.pubkey(), &job).unwrap();
        assert_eq!(keys.author().to_string(), text(&v, "/channel/author"));
        assert_eq!(hex::encode(keys.shared()), text(&v, "/channel/s"));
        let sign = secret(&v, "/channel/k_sign");
        assert_eq!(keys.author(), sign.pubkey());
        let record = wire::open_post(&keys, text(&v, "/channel/event")).unwrap();
        assert_eq!(record.event, text(&v, "/record/event"));
    }
    // K_conv is a NIP-44 conversation key as it stands.
    use nostr::base64::Engine as _;
    use nostr::nips::nip44::v2::{ConversationKey, decrypt_to_bytes};
    let event = nostr::Event::from_json(text(&v, "/channel/event")).unwrap();
    let sealed = nostr::base64::engine::general_purpose::STANDARD.decode(event.content).unwrap();
    let key = ConversationKey::new(bytes(&v, "/channel/k_conv"));
    let plain = decrypt_to_bytes(&key, &sealed).unwrap();
    assert_eq!(String::from_utf8(plain).unwrap(), text(&v, "/record/event"));
}

#[test]
fn the_vectors_of_records_certificates_listings_and_wraps() {
    let v = vectors();
    let record = wire::read_record(text(&v, "/record/event")).unwrap();
    assert_eq!(record.id.to_string(), text(&v, "/record/id"));
    let again = wire::sign_record(&secret(&v, "/record/secret"), &record.draft).unwrap();
    assert_eq!(again, record, "a signature without auxiliary randomness is always the same");

    let certificate = wire::read_certificate(text(&v, "/certificate/event")).unwrap();
    assert_eq!(certificate.identity, secret(&v, "/certificate/secret").pubkey());
    assert_eq!(certificate.terms.to_string(), text(&v, "/terms/hash"));

    let event = text(&v, "/listing/event");
    let gig = wire::read_listing(event, NOW).unwrap();
    let tags = serde_json::to_value(wire::preview(&gig).unwrap().tags).unwrap();
    assert_eq!(tags, v["listing"]["tags"]);
    let published = wire::publish(&secret(&v, "/listing/secret"), &gig, Stage::Published).unwrap();
    assert_eq!((published.0, published.1.as_str()), (gig.id, event));

    let opened =
        wire::open_wrap(&secret(&v, "/wrap/to_secret"), text(&v, "/wrap/event"), 12).unwrap();
    assert_eq!(opened.record.id.to_string(), text(&v, "/wrap/record_id"));
    assert_eq!(opened.certificate, Some(certificate));
}
