//! The form of a policy as TOML has it, and what makes a policy of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{Accept, Asking, Choose, Hook, Mistake, Places, Price, Stdin, Tell, Template, Working};
use crate::bot::{Limits, is_loopback};
use crate::engine::Notice;
use crate::market::{LEAST_PRICE, Mode, Msat, Network, Query};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    pub(super) name: Option<Spanned<String>>,
    pub(super) requester: Option<Spanned<AskingForm>>,
    pub(super) worker: Option<WorkingForm>,
    #[serde(default)]
    pub(super) hook: Vec<Spanned<HookForm>>,
}

impl Form {
    /// Where what only the budget can make wrong stands.
    pub(super) fn places(&self, reader: &Reader<'_>) -> Places {
        let asking = self.requester.as_ref().map(Spanned::get_ref);
        let total = asking.and_then(|asking| asking.total.as_ref()).map(Spanned::span);
        let query = self.worker.as_ref().map(|working| working.query.span());
        let place = |span: std::ops::Range<usize>| reader.place(span.start);
        Places {
            gig: asking.map(|asking| place(asking.gig.span())),
            total: total.map(place),
            query: query.map(place),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskingForm {
    gig: Spanned<PathBuf>,
    queue: Option<PathBuf>,
    #[serde(default)]
    attach: bool,
    #[serde(default = "cheapest")]
    choose: Choose,
    wait: Option<Spanned<String>>,
    at_once: Option<Spanned<u32>>,
    per_worker: Option<Spanned<u32>>,
    tries: Option<Spanned<u32>>,
    accept: Option<Spanned<String>>,
    verify: Option<Spanned<Vec<String>>>,
    time: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    disk: Option<Spanned<String>>,
    total: Option<Spanned<toml::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkingForm {
    query: Spanned<String>,
    price: Option<Spanned<toml::Value>>,
    at_once: Option<Spanned<u32>>,
    #[serde(default)]
    message: String,
    command: Spanned<Vec<String>>,
    #[serde(default = "job")]
    stdin: Stdin,
    time: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    disk: Option<Spanned<String>>,
    tries: Option<Spanned<u32>>,
    look: Option<Spanned<String>>,
    patience: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookForm {
    on: Spanned<Vec<String>>,
    run: Option<Vec<String>>,
    url: Option<Spanned<String>>,
    time: Option<Spanned<String>>,
}

fn cheapest() -> Choose {
    Choose::Cheapest
}
fn job() -> Stdin {
    Stdin::Job
}

/// The text, for places in it.
pub(super) struct Reader<'a>(pub(super) &'a str);

impl Reader<'_> {
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let head = &self.0[..self.0.floor_char_boundary(at)];
        let line = head.matches('\n').count() + 1;
        (line, head.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
    }

    pub(super) fn wrong<T>(&self, at: &Spanned<T>, why: impl Into<String>) -> Mistake {
        Mistake { place: Some(self.place(at.span().start)), why: why.into() }
    }

    fn length(&self, given: &Option<Spanned<String>>, usual: u64) -> Result<Duration, Mistake> {
        let Some(given) = given else { return Ok(Duration::from_secs(usual)) };
        let text = given.get_ref().trim();
        let millis = text.strip_suffix("ms").and_then(|n| n.trim().parse().ok());
        let length = millis.map(Duration::from_millis).or_else(|| {
            let cut = text.find(|c: char| !c.is_ascii_digit())?;
            let (n, unit) = text.split_at(cut);
            let unit = match unit.trim() {
                "s" => 1,
                "min" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            Some(Duration::from_secs(n.parse::<u64>().ok()?.checked_mul(unit)?))
        });
        length.filter(|length| *length <= Duration::from_secs(90 * 86_400)).ok_or_else(|| {
            self.wrong(given, "this must be a length of time, like \"30s\" or \"5min\"")
        })
    }

    fn bytes(&self, given: &Option<Spanned<String>>, usual: u64) -> Result<u64, Mistake> {
        let Some(given) = given else { return Ok(usual) };
        let text = given.get_ref().trim();
        let cut = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (n, unit) = text.split_at(cut);
        let unit = match unit.trim() {
            "" | "B" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        let size = unit.and_then(|by| n.parse::<u64>().ok()?.checked_mul(1 << by));
        size.filter(|size| *size >= 1 << 20).ok_or_else(|| {
            self.wrong(given, "this must be a size of at least 1MiB, like \"512MiB\"")
        })
    }

    fn count(&self, given: &Option<Spanned<u32>>, usual: u32, most: u32) -> Result<u32, Mistake> {
        let Some(given) = given else { return Ok(usual) };
        let n = *given.get_ref();
        if !(1..=most).contains(&n) {
            return Err(self.wrong(given, format!("this must be from 1 to {most}")));
        }
        Ok(n)
    }

    fn limits(
        &self,
        time: &Option<Spanned<String>>,
        memory: &Option<Spanned<String>>,
        disk: &Option<Spanned<String>>,
    ) -> Result<Limits, Mistake> {
        let limits = Limits {
            time: self.length(time, 60)?,
            memory: self.bytes(memory, 1 << 30)?,
            disk: self.bytes(disk, 256 << 20)?,
        };
        match time {
            Some(at) if limits.time.is_zero() => {
                Err(self.wrong(at, "no command ends in no time: give it some"))
            }
            _ => Ok(limits),
        }
    }

    fn words(&self, given: &Spanned<Vec<String>>) -> Result<Vec<String>, Mistake> {
        let words = given.get_ref();
        if words.first().is_none_or(|program| program.is_empty()) {
            return Err(self.wrong(given, "name a program, like [\"sort\", \"-u\"]"));
        }
        Ok(words.clone())
    }
}

fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn asked(
    reader: &Reader<'_>,
    whole: &Spanned<AskingForm>,
    gig: impl FnOnce(&Path) -> Result<Template, String>,
) -> Result<Asking, Mistake> {
    let form = whole.get_ref();
    let template = gig(form.gig.get_ref()).map_err(|why| reader.wrong(&form.gig, why))?;
    if template.draft.slots != 1 {
        let why = "each item has one worker: set slots = 1 in the gig, and give as many lines as you want workers";
        return Err(reader.wrong(&form.gig, why));
    }
    if !template.draft.milestones.is_empty() {
        let why = "each item is one piece of work: leave the milestones out of the gig";
        return Err(reader.wrong(&form.gig, why));
    }
    let modes = &template.draft.modes;
    let at_once = reader.count(&form.at_once, 8, super::MOST_AT_ONCE)?;
    let per_worker = reader.count(&form.per_worker, at_once.min(4), super::MOST_AT_ONCE)?;
    if let Some(given) = form.per_worker.as_ref().filter(|_| per_worker > at_once) {
        let why = format!(
            "{per_worker} with one worker can never be reached with at_once = {at_once}: lower it, or raise at_once"
        );
        return Err(reader.wrong(given, why));
    }
    let limits = reader.limits(&form.time, &form.memory, &form.disk)?;
    let word = form.accept.as_ref().map(|given| given.get_ref().as_str());
    let checked = !template.draft.quality.is_none();
    let accept = match (word, &form.verify) {
        (Some("command") | None, Some(verify)) => {
            if modes.contains(&Mode::Sealed) {
                let why = "a sealed delivery cannot be read before it is paid: use modes = [\"direct\"] or [\"escrow\"] in the gig, or checks instead";
                return Err(reader.wrong(verify, why));
            }
            Accept::Command(reader.words(verify)?, limits)
        }
        (Some(_), Some(verify)) => {
            let why = "verify belongs to accept = \"command\": leave one of them away";
            return Err(reader.wrong(verify, why));
        }
        (Some("command"), None) => {
            let at = form.accept.as_ref().map_or(0, |given| given.span().start);
            let why = "this needs verify = [\"PROGRAM\", ...]".into();
            return Err(Mistake { place: Some(reader.place(at)), why });
        }
        (Some("inspected"), None) => Accept::Inspected,
        (Some("checks"), None) | (None, None) => {
            let at = form.accept.as_ref().map_or(form.gig.span(), Spanned::span);
            let wrong =
                |why: &str| Mistake { place: Some(reader.place(at.start)), why: why.into() };
            if !checked {
                return Err(wrong(
                    "the gig has no checks and no audit that could speak: give it some (earnest help check), or say accept = \"inspected\" and pay for whatever is delivered as it was signed",
                ));
            }
            if modes.contains(&Mode::Direct) {
                return Err(wrong(
                    "in mode direct nothing checks a delivery before it is paid: leave that mode away, or give verify = [\"PROGRAM\", ...] and no sealed mode",
                ));
            }
            Accept::Checks
        }
        (Some(_), None) => {
            let at = form.accept.as_ref().map_or(0, |given| given.span().start);
            let why = "this must be \"checks\", \"inspected\" or \"command\"".into();
            return Err(Mistake { place: Some(reader.place(at)), why });
        }
    };
    let total = match &form.total {
        None => None,
        Some(given) => {
            let total: Msat = written(given.get_ref())
                .parse()
                .map_err(|_| reader.wrong(given, "this must be an amount, like \"50000sat\""))?;
            if total < template.draft.price {
                let why = format!(
                    "{total} do not pay a single job of {}: raise it, or lower the price of the gig",
                    template.draft.price
                );
                return Err(reader.wrong(given, why));
            }
            Some(total)
        }
    };
    Ok(Asking {
        template,
        queue: form.queue.clone(),
        attach: form.attach,
        choose: form.choose,
        wait: reader.length(&form.wait, 5)?,
        at_once,
        per_worker,
        tries: reader.count(&form.tries, 3, 100)?,
        accept,
        total,
    })
}

pub(super) fn worked(
    reader: &Reader<'_>,
    form: &WorkingForm,
    network: Network,
) -> Result<Working, Mistake> {
    let line = form.query.get_ref();
    let query = Query::parse(line, network, |_| None)
        .map_err(|why| reader.wrong(&form.query, why.to_string()))?;
    let price = match &form.price {
        None => Price::Share(100),
        Some(given) => price(&written(given.get_ref())).map_err(|why| reader.wrong(given, why))?,
    };
    if let (Price::Fixed(price), Some(given), Some(most)) = (price, &form.price, query.price_max)
        && price > most
    {
        let why =
            format!("{price} is above what the query looks for ({most}): no gig would ever match");
        return Err(reader.wrong(given, why));
    }
    let look = reader.length(&form.look, 2)?;
    if let Some(given) = form.look.as_ref().filter(|_| look < Duration::from_millis(100)) {
        return Err(reader.wrong(given, "look at most ten times a second: \"100ms\" or more"));
    }
    Ok(Working {
        query,
        line: line.clone(),
        price,
        at_once: reader.count(&form.at_once, 2, 1_000)?,
        message: form.message.clone(),
        command: reader.words(&form.command)?,
        stdin: form.stdin,
        limits: reader.limits(&form.time, &form.memory, &form.disk)?,
        tries: reader.count(&form.tries, 2, 100)?,
        look,
        patience: reader.length(&form.patience, 600)?,
    })
}

fn price(text: &str) -> Result<Price, String> {
    let text = text.trim();
    let wrong = || {
        "this must be a price (\"2000sat\"), a share of what is offered (\"90%\") or a price for each KiB of input (\"5sat/KiB\")".to_owned()
    };
    if let Some(share) = text.strip_suffix('%') {
        let share: u32 = share.trim().parse().map_err(|_| wrong())?;
        if !(1..=100).contains(&share) {
            return Err("a share is from 1% to 100%: nobody pays more than was offered".into());
        }
        return Ok(Price::Share(share));
    }
    if let Some(each) = text.strip_suffix("/KiB") {
        let each: Msat = each.trim().parse().map_err(|_| wrong())?;
        return match each {
            Msat::ZERO => Err("work for nothing is no bid".into()),
            each => Ok(Price::PerKib(each)),
        };
    }
    let fixed: Msat = text.parse().map_err(|_| wrong())?;
    if fixed < LEAST_PRICE {
        return Err(format!("no job pays less than {LEAST_PRICE}"));
    }
    Ok(Price::Fixed(fixed))
}

pub(super) fn hooked(reader: &Reader<'_>, whole: &Spanned<HookForm>) -> Result<Hook, Mistake> {
    let form = whole.get_ref();
    for code in form.on.get_ref() {
        if code != "*" && !Notice::CODES.contains(&code.as_str()) {
            let why =
                format!("there is no notice `{code}`; there are: {}", Notice::CODES.join(", "));
            return Err(reader.wrong(&form.on, why));
        }
    }
    if form.on.get_ref().is_empty() {
        return Err(reader.wrong(&form.on, "name notices, or [\"*\"] for all"));
    }
    let time = reader.length(&form.time, 10)?;
    let tell = match (&form.run, &form.url) {
        (Some(words), None) if words.first().is_some_and(|program| !program.is_empty()) => {
            Tell::Run(words.clone())
        }
        (None, Some(given)) => {
            let url = Url::parse(given.get_ref()).ok().filter(is_loopback);
            Tell::Url(url.ok_or_else(|| {
                reader
                    .wrong(given, "a webhook goes to this machine only: http://127.0.0.1:PORT/PATH")
            })?)
        }
        _ => {
            return Err(reader.wrong(
                whole,
                "a hook has either run = [\"PROGRAM\"] or url = \"http://127.0.0.1:PORT/\"",
            ));
        }
    };
    Ok(Hook { on: form.on.get_ref().clone(), tell, time })
}
