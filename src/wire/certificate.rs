//! The certificate (kind 3924): an identity's word that a session key speaks for it in one job.

use nostr::Tag;

use super::event::{self, SigningKey};
use super::limits::CERTIFICATE_BYTES;
use super::rejected::{Code, Rejected};
use crate::market::{
    Certificate, Digest, EndpointId, JobId, JudgeCertificate, Network, NodeId, Nonce, Pubkey, Role,
    Time,
};

/// The kind of a certificate.
pub const CERTIFICATE: u16 = 3924;

/// What whoever holds the identity reads before signing, a bunker's owner for example. Always the same.
const SENTENCE: &str = "The key below speaks for me in one earnest job, with this counterparty and on these terms only.";

/// What a certificate says, without the identity that signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certifying {
    /// The key that is certified.
    pub session: Pubkey,
    /// For which side.
    pub role: Role,
    /// With whom.
    pub counterparty: Pubkey,
    /// Hash of the canonical terms.
    pub terms: Digest,
    /// What the session key was derived from.
    pub nonce: Nonce,
    /// The Lightning node.
    pub node: NodeId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Which chain.
    pub network: Network,
    /// When.
    pub at: Time,
}

impl Certifying {
    /// The tags, in the only order there is.
    fn tags(&self) -> Vec<Tag> {
        let role = match self.role {
            Role::Requester => "requester",
            Role::Worker => "worker",
        };
        vec![
            event::tag("v", ["1"]),
            event::tag("session", [&self.session.to_string()]),
            event::tag("role", [role]),
            event::tag("counterparty", [&self.counterparty.to_string()]),
            event::tag("terms", [&self.terms.to_string()]),
            event::tag("nonce", [&self.nonce.to_string()]),
            event::tag("node", [&self.node.to_string()]),
            event::tag("endpoint", [&self.endpoint.to_string()]),
            event::tag("network", [super::network_name(self.network)]),
        ]
    }
}

/// Signs a certificate with an identity. The same words give the same event.
pub fn certify(identity: &SigningKey, what: &Certifying) -> Result<Certificate, Rejected> {
    let content = SENTENCE.to_owned();
    let draft = event::unsigned(identity.pubkey(), what.at, CERTIFICATE, what.tags(), content);
    read_certificate(&event::to_json(&identity.sign(draft)?)?)
}

/// Reads a certificate: size, kind, id, signature, version, and every field. Its tags are the nine that
/// PROTOCOL.md lists, in that order, and nothing else.
pub fn read_certificate(json: &str) -> Result<Certificate, Rejected> {
    let event = event::read(json, CERTIFICATE_BYTES, CERTIFICATE, "the certificate")?;
    if event::one(&event, "v")? != "1" {
        let sentence = "the certificate has a version that this program does not speak";
        return Err(Rejected::new(Code::UnknownVersion, sentence));
    }
    let role = match event::one(&event, "role")? {
        "requester" => Role::Requester,
        "worker" => Role::Worker,
        _ => return Err(Rejected::tag("role", "names no side that exists")),
    };
    let what = Certifying {
        session: id(&event, "session")?,
        role,
        counterparty: id(&event, "counterparty")?,
        terms: id(&event, "terms")?,
        nonce: id(&event, "nonce")?,
        node: id(&event, "node")?,
        endpoint: id(&event, "endpoint")?,
        network: super::listing::network(event::one(&event, "network")?)?,
        at: event::at(&event),
    };
    if event.tags.as_slice() != what.tags().as_slice() || event.content != SENTENCE {
        let sentence = "the certificate has a field that this version does not know";
        return Err(Rejected::new(Code::BadField, sentence));
    }
    if !event::is_point(&what.session) || !event::is_point(&what.counterparty) {
        return Err(Rejected::tag("session", "or `counterparty` is not a public key"));
    }
    if bitcoin::secp256k1::PublicKey::from_slice(&what.node.0).is_err() {
        return Err(Rejected::tag("node", "is not a Lightning node id"));
    }
    Ok(Certificate {
        identity: event::author(&event),
        session: what.session,
        role,
        counterparty: what.counterparty,
        terms: what.terms,
        nonce: what.nonce,
        node: what.node,
        endpoint: what.endpoint,
        network: what.network,
        event: event::to_json(&event)?,
    })
}

/// What whoever holds a judge's identity reads before signing. Always the same.
const JUDGES: &str =
    "The key below judges one earnest job in my name, between these two and on these terms only.";

/// What a judge's certificate says, without the identity that signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judging {
    /// The key that is certified.
    pub session: Pubkey,
    /// The requester's identity.
    pub requester: Pubkey,
    /// The worker's identity.
    pub worker: Pubkey,
    /// J.
    pub job: JobId,
    /// Hash of the canonical terms.
    pub terms: Digest,
    /// What the session key was derived from.
    pub nonce: Nonce,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Which chain.
    pub network: Network,
    /// When.
    pub at: Time,
}

impl Judging {
    /// The tags, in the only order there is.
    fn tags(&self) -> Vec<Tag> {
        vec![
            event::tag("v", ["1"]),
            event::tag("session", [&self.session.to_string()]),
            event::tag("role", ["judge"]),
            event::tag("requester", [&self.requester.to_string()]),
            event::tag("worker", [&self.worker.to_string()]),
            event::tag("job", [&self.job.to_string()]),
            event::tag("terms", [&self.terms.to_string()]),
            event::tag("nonce", [&self.nonce.to_string()]),
            event::tag("endpoint", [&self.endpoint.to_string()]),
            event::tag("network", [super::network_name(self.network)]),
        ]
    }
}

/// Signs a judge's certificate with an identity. The same words give the same event.
pub fn certify_judge(identity: &SigningKey, what: &Judging) -> Result<JudgeCertificate, Rejected> {
    let content = JUDGES.to_owned();
    let draft = event::unsigned(identity.pubkey(), what.at, CERTIFICATE, what.tags(), content);
    read_judge_certificate(&event::to_json(&identity.sign(draft)?)?)
}

/// Reads a judge's certificate. Its tags are the ten that PROTOCOL.md lists, in that order, and nothing else.
pub fn read_judge_certificate(json: &str) -> Result<JudgeCertificate, Rejected> {
    let event = event::read(json, CERTIFICATE_BYTES, CERTIFICATE, "the certificate")?;
    if event::one(&event, "v")? != "1" {
        let sentence = "the certificate has a version that this program does not speak";
        return Err(Rejected::new(Code::UnknownVersion, sentence));
    }
    if event::one(&event, "role")? != "judge" {
        return Err(Rejected::tag("role", "is not a judge's"));
    }
    let what = Judging {
        session: id(&event, "session")?,
        requester: id(&event, "requester")?,
        worker: id(&event, "worker")?,
        job: id(&event, "job")?,
        terms: id(&event, "terms")?,
        nonce: id(&event, "nonce")?,
        endpoint: id(&event, "endpoint")?,
        network: super::listing::network(event::one(&event, "network")?)?,
        at: event::at(&event),
    };
    if event.tags.as_slice() != what.tags().as_slice() || event.content != JUDGES {
        let sentence = "the certificate has a field that this version does not know";
        return Err(Rejected::new(Code::BadField, sentence));
    }
    if ![what.session, what.requester, what.worker].iter().all(event::is_point) {
        return Err(Rejected::tag("session", "or a side is not a public key"));
    }
    Ok(JudgeCertificate {
        identity: event::author(&event),
        session: what.session,
        requester: what.requester,
        worker: what.worker,
        job: what.job,
        terms: what.terms,
        nonce: what.nonce,
        endpoint: what.endpoint,
        network: what.network,
        event: event::to_json(&event)?,
    })
}

fn id<T: std::str::FromStr>(event: &nostr::Event, name: &str) -> Result<T, Rejected> {
    event::one(event, name)?.parse().map_err(|_| Rejected::tag(name, "is not lower-case hex"))
}
