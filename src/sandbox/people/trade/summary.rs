//! Texts to summarise, by choosing the sentences that say most.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use rand::rngs::StdRng;

use super::{Ask, Care, Task, Work, draw, either, lines, named, pick, price, short, tags};

/// Sentences in a summary.
const SENTENCES: usize = 3;

struct Article {
    file: &'static str,
    about: &'static str,
    sentences: &'static [&'static str],
}

const ARTICLES: &[Article] = &[
    Article {
        file: "tides.txt",
        about: "how a harbour town keeps its tide tables",
        sentences: &[
            "The harbour of Aldmouth has kept its own tide tables since 1842.",
            "The first tables were written by a schoolmaster who measured the tide with a painted pole.",
            "His pole still stands beside the fish market, though the paint has been renewed eleven times.",
            "Today a float in a steel pipe measures the tide every six minutes and sends the height by radio.",
            "The harbour office compares the measured tide with the tide that the tables predicted.",
            "When a storm pushes water into the bay, the measured tide can stand a metre above the tables.",
            "The tables cannot know the weather, so the harbour office prints a warning on every page.",
            "Fishermen read the tables in the morning and the pole in the evening.",
            "A mistake of a quarter of an hour once left nine boats on the mud until midnight.",
            "Since then two people check every page of the tables before it is printed.",
            "The printed tables cost less than a loaf of bread, and the town sells four thousand a year.",
            "Visitors buy the tables as a souvenir and rarely notice that they are for last year.",
        ],
    },
    Article {
        file: "rye.txt",
        about: "why rye bread keeps for so long",
        sentences: &[
            "Rye bread keeps fresh for a week because rye flour holds far more water than wheat flour.",
            "The water is bound by long sugars that wheat has only in traces.",
            "Bakers raise rye dough with a sour culture, since yeast alone leaves the crumb wet and sticky.",
            "The acid of the culture stops an enzyme that would otherwise turn the starch of rye into syrup.",
            "A sour dough also keeps mould away, which is why the bread needs no preservative.",
            "Old bakeries keep their culture for decades and feed it with flour and water every day.",
            "One bakery on the coast says that its culture has survived two fires and a flood.",
            "The bread is baked hot at first and then for hours in a falling oven.",
            "It should rest for a day before it is cut, because the crumb sets slowly.",
            "Whoever cuts rye bread warm gets a sticky knife and a flat loaf.",
            "A dense rye bread fills more than a white one and is eaten in thin slices.",
        ],
    },
    Article {
        file: "relay.txt",
        about: "what a relay does in a network without a centre",
        sentences: &[
            "A relay is a server that takes signed messages and gives them to whoever asks for them.",
            "It does not own the names of its users, because a name is a key that its user keeps.",
            "A user who is refused by one relay sends the same signed message to another relay.",
            "A reader checks the signature, so a relay cannot change a message without being noticed.",
            "A relay can still hide a message, and so a careful program asks several relays.",
            "Running a relay costs little: a small machine serves some thousand users.",
            "Most relays limit the size and the number of messages that one address may send.",
            "Some relays ask for a proof of work, which costs a sender a second and a flood a fortune.",
            "A relay may keep messages for years or forget them after a day.",
            "Nobody votes on what a relay keeps, and nobody has to use it.",
            "The first such network was drawn on a napkin in a railway station, or so its author says.",
        ],
    },
    Article {
        file: "swifts.txt",
        about: "the swifts under the roof of a school",
        sentences: &[
            "Every May a colony of swifts comes back to the roof of the village school.",
            "The swifts have flown from the south of Africa and have not landed once on the way.",
            "A swift eats, drinks and even sleeps in the air, and lands only to breed.",
            "The children count the swifts every evening and write the number on a board in the hall.",
            "Last year they counted sixty-two swifts, eight more than the year before.",
            "When the roof was repaired, the carpenter left a gap of four centimetres under every tenth tile.",
            "Without such gaps the swifts of a whole village can lose their nests in one summer.",
            "The young swifts practise for their flight by doing push-ups on their wings.",
            "In August the swifts leave within two days, and the evenings become quiet.",
            "The caretaker says that he does not need a calendar any more.",
        ],
    },
];

/// A text to summarise.
pub(super) fn task(chance: &mut StdRng) -> Task {
    let article = pick(chance, ARTICLES);
    // Not always the whole of it, and never in another order.
    let keep = chance.random_range(8..=article.sentences.len());
    let kept: BTreeSet<&str> = draw(chance, article.sentences, keep).into_iter().collect();
    let all: Vec<&str> = article.sentences.iter().copied().filter(|s| kept.contains(s)).collect();
    let text = all.chunks(4).map(|part| part.join(" ") + "\n").collect::<Vec<_>>().join("\n");
    let best: BTreeSet<usize> = ranked(&all).into_iter().take(SENTENCES + 2).collect();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    Task {
        title: format!("Summarise a text about {}", article.about),
        summary: format!("{} sentences in, {SENTENCES} out, each word for word.", all.len()),
        content: format!(
            "`{}` is a text about {}. Choose the {SENTENCES} sentences that say most of it and deliver them \
             word for word, one a line, in their order.\n\nMy program looks each of them up, and wants at \
             least one of those that speak of what the text speaks of most.",
            article.file, article.about
        ),
        tags: tags(&["summary", "text", "reading"]),
        modes: either(chance),
        sats: price(chance, 6_500, 11_000),
        inputs: vec![(article.file.into(), text)],
        check: Box::new(move |saw| check(&all, &best, saw)),
    }
}

fn check(all: &[String], best: &BTreeSet<usize>, saw: &str) -> Result<(), String> {
    let chosen: Vec<&str> = lines(saw).into_iter().filter(|line| !line.is_empty()).collect();
    if chosen.len() != SENTENCES {
        return Err(format!(
            "{} lines came; I asked for {SENTENCES} sentences, one a line.",
            chosen.len()
        ));
    }
    let mut places = Vec::new();
    for line in chosen {
        match all.iter().position(|s| s == line) {
            Some(at) => places.push(at),
            None => return Err(format!("`{}` is not in the text, word for word.", short(line))),
        }
    }
    if places.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("They are not in the order of the text, or one came twice.".into());
    }
    if !places.iter().any(|at| best.contains(at)) {
        return Err("None of them says what the text is about.".into());
    }
    Ok(())
}

/// Summarises the first input.
pub(super) fn work(ask: &Ask, care: Care) -> Option<Work> {
    let (name, text) = ask.text()?;
    let all = sentences(text);
    if all.is_empty() {
        return None;
    }
    let count = if care == Care::Hasty { SENTENCES - 1 } else { SENTENCES };
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut chosen: Vec<usize> = ranked(&all).into_iter().take(count).collect();
    chosen.sort_unstable();
    let out: String = chosen.iter().map(|at| format!("{}\n", all[*at])).collect();
    Some(Work {
        name: named(name, "-summary", "txt"),
        bytes: out.into_bytes(),
        message: format!(
            "{} of {} sentences, those with the most common words.",
            chosen.len(),
            all.len()
        ),
    })
}

/// The sentences of a text, their line breaks taken out.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut all = Vec::new();
    let mut sentence: Vec<&str> = Vec::new();
    for word in words {
        sentence.push(word);
        if word.ends_with(['.', '!', '?']) {
            all.push(sentence.join(" "));
            sentence.clear();
        }
    }
    if !sentence.is_empty() {
        all.push(sentence.join(" "));
    }
    all
}

/// Places of sentences, those first whose words occur most in the whole text.
fn ranked(all: &[&str]) -> Vec<usize> {
    let words = |s: &str| -> BTreeSet<String> {
        let words = s.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
        words.filter(|w| w.chars().count() > 3).collect()
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in all.iter().flat_map(|s| words(s)) {
        *counts.entry(word).or_default() += 1;
    }
    let score =
        |s: &str| words(s).iter().map(|w| counts.get(w).map_or(0, |n| n - 1)).sum::<usize>();
    let mut places: Vec<usize> = (0..all.len()).collect();
    places.sort_by_key(|at| (std::cmp::Reverse(score(all[*at])), *at));
    places
}
