//! What a person wants to pay, as people paste it.

use bitcoin::Denomination;

use super::never;
use crate::engine::Fault;
use crate::market::Msat;

/// What a person wants to pay. Its parts are read, not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Invoice(String),
    Offer(String),
    Coins { address: String, amount: Option<Msat> },
}

/// The longest text that is looked at: a URI with invoice and offer is far below.
const LONGEST: usize = 16 * 1024;

impl Target {
    /// Reads an invoice, an offer, an address or a BIP 21 URI. Of a URI with several, the invoice is taken,
    /// since it can be paid only once; then the offer; then the address. What it also says of the amount
    /// must agree, and is left for [`one_amount`] to compare.
    pub(super) fn read(text: &str) -> Result<(Self, Option<Msat>), Fault> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(never("This is longer than anything that can be paid."));
        }
        let plain = text.to_ascii_lowercase();
        let after = |scheme: &str| plain.starts_with(scheme).then(|| &text[scheme.len()..]);
        if let Some(uri) = after("bitcoin:") {
            return Self::read_uri(uri);
        }
        let bare = after("lightning:").unwrap_or(text);
        let plain = bare.to_ascii_lowercase();
        if plain.starts_with("lno1") {
            return Ok((Self::Offer(bare.to_owned()), None));
        }
        if plain.starts_with("ln") {
            return Ok((Self::Invoice(bare.to_owned()), None));
        }
        if bare.parse::<bitcoin::Address<_>>().is_ok() {
            return Ok((Self::Coins { address: bare.to_owned(), amount: None }, None));
        }
        Err(never("This is not a Lightning invoice, an offer, an address or a bitcoin: URI."))
    }

    fn read_uri(uri: &str) -> Result<(Self, Option<Msat>), Fault> {
        let (address, query) = uri.split_once('?').unwrap_or((uri, ""));
        let (mut amount, mut invoice, mut offer) = (None, None, None);
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let known = match key.to_ascii_lowercase().as_str() {
                "amount" => {
                    let read = bitcoin::Amount::from_str_in(&value, Denomination::Bitcoin);
                    let sats = read.ok().and_then(|read| Msat::sats(read.to_sat()));
                    let sats = sats.ok_or_else(|| never("The amount in this URI is no amount."))?;
                    amount.replace(sats).is_none()
                }
                "lightning" => invoice.replace(value.into_owned()).is_none(),
                "lno" => offer.replace(value.into_owned()).is_none(),
                // BIP 21: what must be understood and is not makes the whole of it invalid.
                other if other.starts_with("req-") => {
                    return Err(never("This URI asks for something that is not known here."));
                }
                _ => true,
            };
            if !known {
                return Err(never("This URI says one thing twice."));
            }
        }
        match (invoice, offer) {
            (Some(invoice), _) => Ok((Self::Invoice(invoice), amount)),
            (None, Some(offer)) => Ok((Self::Offer(offer), amount)),
            (None, None) if !address.is_empty() => {
                Ok((Self::Coins { address: address.to_owned(), amount }, amount))
            }
            (None, None) => Err(never("This bitcoin: URI names nobody.")),
        }
    }
}

/// What is asked for, or what the other side asks: both at once only if they agree.
pub(super) fn one_amount(asked: Option<Msat>, named: Option<Msat>) -> Result<Msat, Fault> {
    match (asked, named) {
        (Some(asked), Some(named)) if asked != named => Err(never(&format!(
            "You would pay {asked}, and what you pay asks for {named}. Leave the amount out."
        ))),
        (None, None) => Err(never("What you pay names no amount: say how much.")),
        (asked, named) => match named.or(asked) {
            Some(amount) if amount > Msat::ZERO => Ok(amount),
            _ => Err(never("This asks for nothing.")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

    #[test]
    fn what_is_paid_is_read_as_people_paste_it() {
        let invoice = |text: &str| Target::Invoice(text.to_owned());
        let offer = |text: &str| Target::Offer(text.to_owned());
        let coins = |amount| Target::Coins { address: ADDRESS.to_owned(), amount };
        let some = Msat::sats(1_000);
        for (text, target, amount) in [
            (" lnbcrt1abc\n".to_owned(), invoice("lnbcrt1abc"), None),
            ("LIGHTNING:LNBCRT1ABC".to_owned(), invoice("LNBCRT1ABC"), None),
            ("lno1xyz".to_owned(), offer("lno1xyz"), None),
            (ADDRESS.to_owned(), coins(None), None),
            (format!("bitcoin:{ADDRESS}"), coins(None), None),
            (format!("BITCOIN:{ADDRESS}?amount=0.00001&label=a%20b"), coins(some), some),
            (
                format!("bitcoin:{ADDRESS}?amount=0.00001&lno=lno1x&lightning=lnbcrt1y"),
                invoice("lnbcrt1y"),
                some,
            ),
            ("bitcoin:?LNO=lno1x".to_owned(), offer("lno1x"), None),
        ] {
            assert_eq!(Target::read(&text).unwrap(), (target, amount), "{text}");
        }
        for text in [
            "",
            "hello",
            "bitcoin:",
            "bitcoin:x?amount=much",
            "bitcoin:x?amount=-1",
            "bitcoin:x?amount=1&amount=2",
            "bitcoin:x?req-new=1",
            "é",
            "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081",
            &"l".repeat(LONGEST + 1),
        ] {
            assert!(Target::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_amount_is_said_once_or_twice_the_same() {
        let (one, two) = (Msat::sats(1), Msat::sats(2));
        assert_eq!(one_amount(one, None).ok(), one);
        assert_eq!(one_amount(None, two).ok(), two);
        assert_eq!(one_amount(two, two).ok(), two);
        assert!(one_amount(one, two).is_err());
        assert!(one_amount(None, None).is_err());
        assert!(one_amount(Some(Msat::ZERO), None).is_err());
    }
}
