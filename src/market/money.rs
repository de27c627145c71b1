//! Money: millisatoshis with checked arithmetic. People see sats.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in millisatoshis (1 sat = 1000 msat, BOLT 2). At most 21 million bitcoin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Msat(u64);

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMoney {
    /// Not digits with an optional unit.
    #[error("`{0}` is not an amount: write for example 21000sat or 500msat")]
    Form(String),
    /// More than 21 million bitcoin.
    #[error("more than 21 million bitcoin")]
    TooMuch,
}

impl Msat {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All there will ever be: 21 million bitcoin.
    pub const MAX: Self = Self(2_100_000_000_000_000_000);

    /// From millisatoshis; `None` above [`Msat::MAX`].
    pub const fn new(msat: u64) -> Option<Self> {
        if msat <= Self::MAX.0 { Some(Self(msat)) } else { None }
    }
    /// From satoshis; `None` above [`Msat::MAX`].
    pub const fn sats(sats: u64) -> Option<Self> {
        match sats.checked_mul(1000) {
            Some(msat) => Self::new(msat),
            None => None,
        }
    }
    /// Millisatoshis.
    pub const fn get(self) -> u64 {
        self.0
    }
    /// Whole satoshis, rounded down.
    pub const fn whole_sats(self) -> u64 {
        self.0 / 1000
    }
    /// The sum, or `None` above [`Msat::MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }
    /// The difference, or `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
    /// The difference, or nothing.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
    /// `self * ppm / 1_000_000`, rounded up, at most [`Msat::MAX`].
    pub fn ppm(self, ppm: u64) -> Self {
        let exact = (u128::from(self.0) * u128::from(ppm)).div_ceil(1_000_000);
        Self(u64::try_from(exact).unwrap_or(Self::MAX.0).min(Self::MAX.0))
    }
    /// What tranche `index` of `count` pays: `floor(p(t+1)/T) - floor(pt/T)`, so the parts sum to the
    /// whole (PROTOCOL.md 5.4). `None` unless `index < count`.
    pub fn tranche(self, index: u32, count: u32) -> Option<Self> {
        if index >= count {
            return None;
        }
        let upto = |t: u32| u128::from(self.0) * u128::from(t) / u128::from(count);
        u64::try_from(upto(index + 1) - upto(index)).ok().map(Self)
    }
}

impl std::iter::Sum for Msat {
    /// Saturates at [`Msat::MAX`].
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |a, b| a.checked_add(b).unwrap_or(Self::MAX))
    }
}

impl fmt::Display for Msat {
    /// `21,000 sat`, with millisatoshis only when there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = (self.0 / 1000).to_string();
        for (i, c) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{c}")?;
        }
        match self.0 % 1000 {
            0 => f.write_str(" sat"),
            rest => write!(f, ".{rest:03} sat"),
        }
    }
}
impl fmt::Debug for Msat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}msat", self.0)
    }
}

impl FromStr for Msat {
    type Err = NotMoney;
    /// `21000`, `21000sat`, `21,000 sats`, `500msat`.
    fn from_str(text: &str) -> Result<Self, NotMoney> {
        let form = || NotMoney::Form(text.chars().take(40).collect());
        let plain: String = text.chars().filter(|c| !matches!(c, ',' | '_' | ' ')).collect();
        let cut = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
        let (digits, unit) = plain.split_at(cut);
        if digits.is_empty() {
            return Err(form());
        }
        let number: u64 = digits.parse().map_err(|_| NotMoney::TooMuch)?;
        match unit {
            "" | "sat" | "sats" => Self::sats(number).ok_or(NotMoney::TooMuch),
            "msat" | "msats" => Self::new(number).ok_or(NotMoney::TooMuch),
            _ => Err(form()),
        }
    }
}

impl schemars::JsonSchema for Msat {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Msat".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "pattern": "^(0|[1-9][0-9]*)$", "description": "Millisatoshis, decimal.",
        })
    }
}

impl Serialize for Msat {
    /// Millisatoshis as a decimal string: JSON numbers lose digits above 2^53.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0.to_string())
    }
}
impl<'de> Deserialize<'de> for Msat {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let wrong = || serde::de::Error::custom("expected millisatoshis as a decimal string");
        let plain = text == "0" || !text.starts_with('0');
        if text.is_empty() || !plain || text.bytes().any(|b| !b.is_ascii_digit()) {
            return Err(wrong());
        }
        text.parse().ok().and_then(Self::new).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tranches_sum_to_the_price(price in 0..=Msat::MAX.0, count in 1u32..200) {
            let price = Msat(price);
            let sum: u128 =
                (0..count).filter_map(|t| price.tranche(t, count)).map(|m| u128::from(m.0)).sum();
            prop_assert_eq!(sum, u128::from(price.0));
        }

        #[test]
        fn json_keeps_every_millisatoshi(price in 0..=Msat::MAX.0) {
            let json = serde_json::to_string(&Msat(price)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Msat>(&json).unwrap(), Msat(price));
        }

        #[test]
        fn parts_per_million_round_up(price in 0..=Msat::MAX.0, ppm in 0u64..=1_000_000) {
            let part = Msat(price).ppm(ppm).0;
            prop_assert!(u128::from(part) * 1_000_000 >= u128::from(price) * u128::from(ppm));
            prop_assert!(part <= price);
        }
    }

    #[test]
    fn people_write_and_read_sats() {
        assert_eq!("21,000 sats".parse(), Ok(Msat(21_000_000)));
        assert_eq!("500msat".parse(), Ok(Msat(500)));
        assert_eq!(Msat(21_000_000).to_string(), "21,000 sat");
        assert_eq!(Msat(1_500).to_string(), "1.500 sat");
        assert!("".parse::<Msat>().is_err());
        assert!("-5".parse::<Msat>().is_err());
        assert!("5btc".parse::<Msat>().is_err());
        assert!("2100000000000001".parse::<Msat>().is_err());
    }

    #[test]
    fn json_money_has_one_spelling() {
        for wrong in ["\"01\"", "\"\"", "\"1.0\"", "1", "\"+1\"", "\"99999999999999999999\""] {
            assert!(serde_json::from_str::<Msat>(wrong).is_err(), "{wrong}");
        }
    }
}
