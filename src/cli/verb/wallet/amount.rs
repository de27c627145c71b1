//! Amounts as people type them, strictly: a slip must not be another amount.

use crate::market::Msat;

/// `1500`, `1,500`, `1_500 sat`, `1500msat`. Separators stand between groups of three digits and nowhere
/// else, so that `1,5` is a mistake and not fifteen. Nothing is no amount.
pub(super) fn amount(text: &str) -> Result<Msat, String> {
    let form = || "write satoshis, like 1500, 1,500 or 1500sat, or 1500msat".to_owned();
    let text = text.trim();
    let cut = text.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '_');
    let (digits, unit) = text.split_at(cut.unwrap_or(text.len()));
    let unit = unit.trim_start();
    let mut groups = digits.split([',', '_']);
    let first = groups.next().unwrap_or_default();
    let grouped = digits.len() > first.len();
    let well = |group: &str| group.len() == 3;
    let well_first = if grouped { (1..=3).contains(&first.len()) } else { !first.is_empty() };
    // One kind of separator in one amount.
    let mixed = digits.contains(',') && digits.contains('_');
    if !well_first || mixed || !groups.all(well) {
        return Err(form());
    }
    if !matches!(unit, "" | "sat" | "sats" | "msat" | "msats") {
        return Err(form());
    }
    match format!("{digits}{unit}").parse() {
        Ok(Msat::ZERO) => Err("an amount is more than nothing".to_owned()),
        Ok(amount) => Ok(amount),
        Err(why) => Err(format!("{why}")),
    }
}

/// The same, in whole satoshis.
pub(super) fn sats(text: &str) -> Result<u64, String> {
    let amount = amount(text)?;
    match amount.get() % 1000 {
        0 => Ok(amount.whole_sats()),
        _ => Err("on the chain there are whole satoshis only".to_owned()),
    }
}

/// The most that routing may cost: an amount, or nothing at all.
pub(super) fn fee(text: &str) -> Result<Msat, String> {
    if text.trim() == "0" { Ok(Msat::ZERO) } else { amount(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_meant_or_not_at_all() {
        for (text, msat) in [
            ("1500", 1_500_000),
            ("1,500", 1_500_000),
            (" 1_500_000 sats ", 1_500_000_000),
            ("1500msat", 1_500),
            ("21000 sat", 21_000_000),
        ] {
            assert_eq!(amount(text).map(Msat::get), Ok(msat), "{text}");
        }
        for wrong in [
            "",
            "sat",
            "-1",
            "+1",
            "1.5",
            "1,5",
            "1,50",
            "1,5000",
            ",500",
            "1,,500",
            "1,500_000",
            "1 500",
            "0",
            "0sat",
            "1e3",
            "1btc",
            "1k",
            "١",
            "0x10",
            "2100000000000001",
        ] {
            assert!(amount(wrong).is_err(), "{wrong}");
        }
        assert_eq!(sats("1,000"), Ok(1_000));
        assert!(sats("1500msat").is_err());
        assert_eq!(fee("0"), Ok(Msat::ZERO));
        assert!(fee("1,5").is_err());
    }
}
