//! Small things for a person at a keyboard: a minute each, checked by a program that says what is wrong.

use rand::Rng as _;
use rand::rngs::StdRng;

use super::{BY_HAND, Task, draw, lines, pick, price, short, tags};
use crate::market::Mode;

/// How one hands over what was typed; `earnest` is told about nothing else.
const HOW: &str = "Put it into a text file and deliver that: `earnest deliver JOB FILE`, or the key for it in \
                   the terminal. My program reads it and answers within seconds; if it is not right, I say \
                   why and you deliver again.";

const THINGS: &[&str] = &[
    "anchor", "basket", "candle", "drawer", "engine", "feather", "garden", "hammer", "island",
    "jacket", "kettle", "ladder", "mirror", "needle", "orange", "pencil", "quarry", "ribbon",
    "saddle", "teapot", "umbrella", "violin", "window", "yard", "zipper",
];

fn by_hand(more: &[&str]) -> Vec<String> {
    tags(&[&[BY_HAND, "first-job"], more].concat())
}

/// Ten lines to sort.
pub(super) fn sort(chance: &mut StdRng) -> Task {
    let mixed = draw(chance, THINGS, 10);
    let mut want = mixed.clone();
    want.sort_unstable();
    let list = mixed.join("\n") + "\n";
    Task {
        title: format!("Sort ten words, from `{}` to `{}`", want[0], want[9]),
        summary: "A minute by hand: put ten words into alphabetical order.".into(),
        content: format!(
            "Put these ten words into alphabetical order, one a line:\n\n{}\n\n{HOW}",
            bullets(&mixed)
        ),
        tags: by_hand(&["sorting"]),
        modes: vec![Mode::Direct, Mode::Sealed],
        sats: price(chance, 7_000, 9_000),
        inputs: vec![("words.txt".into(), list)],
        check: Box::new(move |saw| {
            let saw: Vec<String> = words(saw);
            if let Some(gone) = want.iter().find(|w| !saw.iter().any(|s| s == *w)) {
                return Err(format!(
                    "`{gone}` is missing. All ten words belong in the file, one a line."
                ));
            }
            if let Some(extra) = saw.iter().find(|s| !want.contains(&s.as_str())) {
                return Err(format!("`{}` is not one of the ten words.", short(extra)));
            }
            match saw.iter().zip(&want).position(|(saw, want)| saw != want) {
                None if saw.len() == want.len() => Ok(()),
                None => Err("A word stands there twice.".into()),
                Some(at) => Err(format!(
                    "Line {} is `{}`, but `{}` comes before it in the alphabet.",
                    at + 1,
                    saw[at],
                    want[at]
                )),
            }
        }),
    }
}

fn bullets(all: &[&str]) -> String {
    all.iter().map(|word| format!("- {word}")).collect::<Vec<_>>().join("\n")
}

/// The words of a list however it was typed: bullets and capitals are nobody's mistake.
fn words(text: &str) -> Vec<String> {
    let bare = |line: &str| line.trim().trim_start_matches(['-', '*', ' ']).trim().to_lowercase();
    lines(text).into_iter().map(bare).filter(|line| !line.is_empty()).collect()
}

/// A question, a good answer, a bad one, and what is wrong with the bad one.
type Question = [&'static str; 4];

const QUESTIONS: &[Question] = &[
    [
        "Why is the sky blue?",
        "Air scatters the short waves of sunlight much more than the long ones, so blue comes from all sides.",
        "The sky mirrors the oceans, which is why it is less blue over deserts.",
        "over a desert the sky is as blue as over the sea",
    ],
    [
        "How long do I boil an egg so that the yolk stays soft?",
        "About six minutes in boiling water, then into cold water to stop it.",
        "Boil it for twenty minutes; the yolk stays soft as long as the shell is whole.",
        "after twenty minutes every yolk is hard",
    ],
    [
        "My program says `index out of bounds: the len is 3 but the index is 3`. What is wrong?",
        "Indices begin at 0, so a list of three has 0, 1 and 2; you go one step too far.",
        "The list is too short: restart the computer so that it gets more memory.",
        "memory has nothing to do with it",
    ],
    [
        "Is it safe to give somebody my recovery phrase if they are from support?",
        "No. Whoever has the phrase has your money, and no support ever needs it.",
        "Yes, if they ask politely and know your name; they need it to look up your account.",
        "whoever has the phrase has the money",
    ],
    [
        "What is 15 percent of 80?",
        "12, since a tenth is 8 and half of that is 4.",
        "15, because percent means that you keep the first number.",
        "15 percent of 80 is 12",
    ],
    [
        "Which is further north, Rome or New York?",
        "Rome: it lies at about 42 degrees north, New York at about 41.",
        "New York, since it has colder winters.",
        "winters are colder there for other reasons than latitude",
    ],
    [
        "Can I mix bleach with vinegar to clean better?",
        "No: together they give off chlorine, which is poisonous.",
        "Yes, the two make each other stronger, and the smell shows that it works.",
        "the smell is chlorine, and it is poisonous",
    ],
    [
        "Why does my bread not rise?",
        "Most often the yeast is dead or the kitchen is cold; try fresh yeast and give it more time.",
        "Because you did not say how much it should rise; dough follows the recipe's number.",
        "dough reads no recipes",
    ],
];

/// Which of two answers is better.
pub(super) fn judge(chance: &mut StdRng) -> Task {
    let [question, good, bad, why] = *pick(chance, QUESTIONS);
    let better = if chance.random_range(0..2) == 0 { 'A' } else { 'B' };
    let (a, b) = if better == 'A' { (good, bad) } else { (bad, good) };
    Task {
        title: format!("A or B, which answer is better? {}", short(question)),
        summary: "A minute by hand: two answers of two machines, one of them wrong.".into(),
        content: format!(
            "Somebody asked: **{question}**\n\n**A.** {a}\n\n**B.** {b}\n\nWrite one line: `A` or `B`, and why \
             in a few words.\n\n{HOW}"
        ),
        tags: by_hand(&["judging", "ai"]),
        modes: vec![Mode::Direct, Mode::Sealed],
        sats: price(chance, 5_500, 7_500),
        inputs: vec![("answers.txt".into(), format!("{question}\n\nA. {a}\n\nB. {b}\n"))],
        check: Box::new(move |saw| {
            let said = saw.trim_start_matches(|c: char| !c.is_alphanumeric());
            let mut said = said.split(|c: char| !c.is_alphanumeric());
            let said =
                said.by_ref().map(str::to_uppercase).find(|w| !matches!(w.as_str(), "" | "ANSWER"));
            match said.as_deref() {
                Some("A" | "B") if said == Some(better.to_string()) => Ok(()),
                Some("A" | "B") => Err(format!("Read it once more: {why}.")),
                _ => Err("The line should begin with `A` or `B`.".into()),
            }
        }),
    }
}

/// Letters and digits that nobody mistakes for each other, five rows each.
const BLOCKS: &[(char, [&str; 5])] = &[
    ('A', [" ## ", "#  #", "####", "#  #", "#  #"]),
    ('C', [" ###", "#   ", "#   ", "#   ", " ###"]),
    ('E', ["####", "#   ", "### ", "#   ", "####"]),
    ('F', ["####", "#   ", "### ", "#   ", "#   "]),
    ('H', ["#  #", "#  #", "####", "#  #", "#  #"]),
    ('K', ["#  #", "# # ", "##  ", "# # ", "#  #"]),
    ('L', ["#   ", "#   ", "#   ", "#   ", "####"]),
    ('P', ["### ", "#  #", "### ", "#   ", "#   "]),
    ('T', ["#####", "  #  ", "  #  ", "  #  ", "  #  "]),
    ('X', ["#   #", " # # ", "  #  ", " # # ", "#   #"]),
    ('Y', ["#   #", " # # ", "  #  ", "  #  ", "  #  "]),
    ('3', ["### ", "   #", " ## ", "   #", "### "]),
    ('4', ["#  #", "#  #", "####", "   #", "   #"]),
    ('7', ["####", "   #", "  # ", " #  ", " #  "]),
];

/// Block letters to type out.
pub(super) fn transcribe(chance: &mut StdRng) -> Task {
    let drawn: Vec<_> = (0..7).map(|_| *pick(chance, BLOCKS)).collect();
    let want: String = drawn.iter().map(|(c, _)| *c).collect();
    let row = |at: usize| drawn.iter().map(|(_, rows)| rows[at]).collect::<Vec<_>>().join(" ");
    let label: String = (0..5).map(|at| format!("{}\n", row(at).trim_end())).collect();
    let shelf = chance.random_range(1..90);
    Task {
        title: format!("Type out the label of box {shelf}"),
        summary: "A minute by hand: seven block letters, typed as one word.".into(),
        content: format!(
            "This is the label on box {shelf} of an old archive. Type its seven letters and digits as one \
             word, on one line.\n\n```\n{label}```\n\n{HOW}"
        ),
        tags: by_hand(&["transcription"]),
        modes: vec![Mode::Sealed, Mode::Direct],
        sats: price(chance, 6_000, 9_000),
        inputs: vec![(format!("box-{shelf}.txt"), label)],
        check: Box::new(move |saw| {
            let saw: String = saw.chars().filter(|c| c.is_alphanumeric()).collect();
            let saw = saw.to_uppercase();
            if saw.chars().count() != want.chars().count() {
                return Err(format!(
                    "{} characters came; the label has seven.",
                    saw.chars().count()
                ));
            }
            let wrong: Vec<usize> = want
                .chars()
                .zip(saw.chars())
                .enumerate()
                .filter(|(_, (w, s))| w != s)
                .map(|(at, _)| at + 1)
                .collect();
            match wrong.as_slice() {
                [] => Ok(()),
                [one] => Err(format!("Character {one} is another one.")),
                [first, ..] => Err(format!(
                    "{} characters are others, the first is number {first}.",
                    wrong.len()
                )),
            }
        }),
    }
}

const VERSES: &[(&str, &str)] = &[
    (
        "sea",
        "The sea took the pier and the sea gave it back,\nplank after plank on a beach turned black.\nWe nailed it \
         again where the sea could not reach,\nand the sea laughed once, and moved the beach.\n",
    ),
    (
        "bread",
        "Bread in the morning and bread at night,\nbread that is dark and bread that is light.\nWho bakes his own \
         bread has flour on his sleeve,\nand never asks bread of a man who may leave.\n",
    ),
    (
        "clock",
        "The clock in the hall is an hour too slow,\nthe clock on the stairs has nowhere to go.\nWe asked for a \
         clock that would never be late:\nthe shop had a clock with no hands, for eight.\n",
    ),
    (
        "rain",
        "Rain on the roof and rain in the well,\nrain on the rope of the old school bell.\nAnd when there was \
         rain for a week and a day\nwe sold the rain barrels and moved away.\n",
    ),
];

/// Words to count.
pub(super) fn count(chance: &mut StdRng) -> Task {
    let drawn = draw(chance, VERSES, 2);
    let (word, _) = drawn[0];
    let text = drawn.iter().map(|(_, verse)| *verse).collect::<Vec<_>>().join("\n");
    let want =
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| w.eq_ignore_ascii_case(word)).count();
    let number = chance.random_range(2..99);
    Task {
        title: format!("Count a word on page {number}: {word}"),
        summary: "A minute by hand: read eight lines and count one word.".into(),
        content: format!(
            "How often does the word **{word}** stand in these lines? Capitals do not matter. Deliver the number, \
             alone on one line.\n\n```\n{text}```\n\n{HOW}"
        ),
        tags: by_hand(&["counting"]),
        modes: vec![Mode::Direct],
        sats: price(chance, 5_500, 7_000),
        inputs: vec![(format!("page-{number}.txt"), text)],
        check: Box::new(move |saw| {
            let digits: String = saw.chars().filter(char::is_ascii_digit).collect();
            match digits.parse::<usize>() {
                Ok(saw) if saw == want => Ok(()),
                Ok(saw) if saw < want => {
                    Err(format!("It is more than {saw}: look at the beginnings of lines too."))
                }
                Ok(saw) => Err(format!(
                    "It is less than {saw}: only the whole word counts, once each time."
                )),
                Err(_) => Err("I looked for a number and found none.".into()),
            }
        }),
    }
}
