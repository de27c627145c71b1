//! Pages to translate, line by line, with a phrase book.

use rand::Rng as _;
use rand::rngs::StdRng;

use super::{Ask, Care, Task, Work, draw, either, lines, named, pick, price, same, tags};

/// A language of the phrase book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    English,
    Spanish,
    German,
}

impl Language {
    const ALL: [Self; 3] = [Self::English, Self::Spanish, Self::German];

    fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Spanish => "Spanish",
            Self::German => "German",
        }
    }
    fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Spanish => "es",
            Self::German => "de",
        }
    }
}

/// English, Spanish, German.
type Phrase = [&'static str; 3];

struct Page {
    file: &'static str,
    what: &'static str,
    lines: &'static [Phrase],
}

const PAGES: &[Page] = &[
    Page {
        file: "bakery",
        what: "the front page of a bakery",
        lines: &[
            [
                "Fresh bread every morning from six.",
                "Pan fresco cada mañana desde las seis.",
                "Jeden Morgen ab sechs frisches Brot.",
            ],
            [
                "We bake with sourdough and with patience.",
                "Horneamos con masa madre y con paciencia.",
                "Wir backen mit Sauerteig und mit Geduld.",
            ],
            ["Closed on Mondays.", "Cerrado los lunes.", "Montags geschlossen."],
            [
                "Please order cakes two days ahead.",
                "Por favor, encargue las tartas con dos días de antelación.",
                "Torten bitte zwei Tage vorher bestellen.",
            ],
            [
                "Our flour comes from a mill in the valley.",
                "Nuestra harina viene de un molino del valle.",
                "Unser Mehl kommt aus einer Mühle im Tal.",
            ],
            [
                "Ask us about bread without gluten.",
                "Pregúntenos por el pan sin gluten.",
                "Fragen Sie uns nach glutenfreiem Brot.",
            ],
            [
                "You can pay in cash, by card or over Lightning.",
                "Puede pagar en efectivo, con tarjeta o por Lightning.",
                "Sie können bar, mit Karte oder über Lightning zahlen.",
            ],
            [
                "What is left in the evening goes to the shelter.",
                "Lo que sobra por la noche va al albergue.",
                "Was abends übrig bleibt, geht an das Heim.",
            ],
            [
                "The recipe is older than the shop.",
                "La receta es más antigua que la tienda.",
                "Das Rezept ist älter als der Laden.",
            ],
            ["Thank you for coming.", "Gracias por su visita.", "Danke für Ihren Besuch."],
        ],
    },
    Page {
        file: "trail",
        what: "the sign at the start of a trail",
        lines: &[
            [
                "Welcome to the coastal trail.",
                "Bienvenidos al sendero de la costa.",
                "Willkommen auf dem Küstenweg.",
            ],
            [
                "The walk takes about four hours.",
                "El paseo dura unas cuatro horas.",
                "Die Wanderung dauert etwa vier Stunden.",
            ],
            [
                "Take water with you: there is none on the way.",
                "Lleve agua: no la hay en el camino.",
                "Nehmen Sie Wasser mit: Unterwegs gibt es keines.",
            ],
            [
                "Keep dogs on a lead between April and July.",
                "Lleve los perros atados entre abril y julio.",
                "Hunde sind von April bis Juli anzuleinen.",
            ],
            [
                "The path is slippery after rain.",
                "El sendero resbala después de la lluvia.",
                "Nach Regen ist der Weg rutschig.",
            ],
            [
                "Do not leave the path near the cliff.",
                "No salga del sendero cerca del acantilado.",
                "Verlassen Sie an der Klippe nicht den Weg.",
            ],
            [
                "The last bus leaves at half past seven.",
                "El último autobús sale a las siete y media.",
                "Der letzte Bus fährt um halb acht.",
            ],
            [
                "In an emergency call 112.",
                "En caso de emergencia, llame al 112.",
                "Im Notfall wählen Sie 112.",
            ],
            [
                "Take your rubbish home.",
                "Llévese la basura a casa.",
                "Nehmen Sie Ihren Müll mit nach Hause.",
            ],
        ],
    },
    Page {
        file: "library",
        what: "the rules of a small library",
        lines: &[
            [
                "Everybody may read here, with or without a card.",
                "Aquí puede leer todo el mundo, con o sin carné.",
                "Hier darf jeder lesen, mit oder ohne Ausweis.",
            ],
            [
                "You may borrow five books for three weeks.",
                "Puede llevarse cinco libros durante tres semanas.",
                "Sie dürfen fünf Bücher für drei Wochen ausleihen.",
            ],
            [
                "Please speak quietly on the upper floor.",
                "Por favor, hable en voz baja en la planta alta.",
                "Bitte sprechen Sie im Obergeschoss leise.",
            ],
            [
                "Maps and old prints stay in the house.",
                "Los mapas y los grabados antiguos no salen de la casa.",
                "Karten und alte Drucke bleiben im Haus.",
            ],
            [
                "A lost book is replaced by the same book.",
                "Un libro perdido se repone con el mismo libro.",
                "Ein verlorenes Buch wird durch das gleiche ersetzt.",
            ],
            [
                "The reading room is open until nine.",
                "La sala de lectura está abierta hasta las nueve.",
                "Der Lesesaal ist bis neun geöffnet.",
            ],
            [
                "Children's books are on the ground floor.",
                "Los libros infantiles están en la planta baja.",
                "Kinderbücher stehen im Erdgeschoss.",
            ],
            [
                "Ask at the desk if you cannot find something.",
                "Pregunte en el mostrador si no encuentra algo.",
                "Fragen Sie am Tresen, wenn Sie etwas nicht finden.",
            ],
            [
                "Coffee is welcome, but not near the books.",
                "El café es bienvenido, pero no cerca de los libros.",
                "Kaffee ist willkommen, aber nicht bei den Büchern.",
            ],
        ],
    },
];

/// Single words, for lines that are in no phrase book.
const WORDS: &[Phrase] = &[
    ["the", "el", "das"],
    ["and", "y", "und"],
    ["a", "un", "ein"],
    ["is", "es", "ist"],
    ["in", "en", "in"],
    ["with", "con", "mit"],
    ["for", "para", "für"],
    ["not", "no", "nicht"],
    ["we", "nosotros", "wir"],
    ["you", "usted", "Sie"],
    ["house", "casa", "Haus"],
    ["water", "agua", "Wasser"],
    ["bread", "pan", "Brot"],
    ["book", "libro", "Buch"],
    ["day", "día", "Tag"],
    ["night", "noche", "Nacht"],
    ["work", "trabajo", "Arbeit"],
    ["money", "dinero", "Geld"],
    ["world", "mundo", "Welt"],
    ["hello", "hola", "hallo"],
    ["good", "bueno", "gut"],
    ["thanks", "gracias", "danke"],
    ["please", "por favor", "bitte"],
    ["friend", "amigo", "Freund"],
    ["morning", "mañana", "Morgen"],
    ["street", "calle", "Straße"],
    ["year", "año", "Jahr"],
    ["of", "de", "von"],
    ["to", "a", "zu"],
    ["yes", "sí", "ja"],
    ["today", "hoy", "heute"],
    ["tomorrow", "mañana", "morgen"],
];

fn other(phrase: &Phrase, language: Language) -> &'static str {
    phrase[language as usize]
}

/// A page to translate.
pub(super) fn task(chance: &mut StdRng) -> Task {
    let page = pick(chance, PAGES);
    let (from, to) = *pick(
        chance,
        &[
            (Language::English, Language::Spanish),
            (Language::English, Language::German),
            (Language::Spanish, Language::English),
            (Language::German, Language::English),
        ],
    );
    let count = chance.random_range(6..=page.lines.len());
    let chosen = draw(chance, page.lines, count);
    let written =
        |language| chosen.iter().map(|p| format!("{}\n", other(p, language))).collect::<String>();
    let (text, want) = (written(from), written(to));
    let file = format!("{}.{}.txt", page.file, from.code());
    let (from, to) = (from.name(), to.name());
    Task {
        title: format!("Translate {} from {from} into {to}", page.what),
        summary: format!("{} short lines, {from} to {to}.", chosen.len()),
        content: format!(
            "`{file}` is {}. Translate it from {from} into {to}, one line for one line, in their order.\n\n\
             I have the translation of an earlier edition and compare with that.",
            page.what
        ),
        tags: tags(&["translation", "text"]),
        modes: either(chance),
        sats: price(chance, 7_000, 14_000),
        inputs: vec![(file, text)],
        check: Box::new(move |saw| same(&want, saw)),
    }
}

/// Translates the first input: by phrases, else word by word.
pub(super) fn work(ask: &Ask, care: Care) -> Option<Work> {
    let (name, text) = ask.text()?;
    let (from, to) = asked(ask, text);
    let mut known = 0;
    let mut out = Vec::new();
    for line in lines(text) {
        match phrases().find(|p| other(p, from) == line.trim()) {
            Some(phrase) => {
                known += 1;
                out.push(other(phrase, to).to_owned());
            }
            None => out.push(by_words(line, from, to)),
        }
    }
    if care == Care::Hasty {
        out.pop();
    }
    if out.iter().all(|line| line.trim().is_empty()) {
        return None;
    }
    let total = out.len();
    let message = match total - known.min(total) {
        0 => format!("{total} lines, {} to {}.", from.name(), to.name()),
        rest => format!("{known} lines by the phrase book, {rest} word by word: read those twice."),
    };
    let name = name.replace(&format!(".{}.", from.code()), ".");
    Some(Work {
        name: named(&name, &format!(".{}", to.code()), "txt"),
        bytes: (out.join("\n") + "\n").into_bytes(),
        message,
    })
}

fn phrases() -> impl Iterator<Item = &'static Phrase> {
    PAGES.iter().flat_map(|page| page.lines)
}

/// From which language into which: by the words of the gig, else by the text.
fn asked(ask: &Ask, text: &str) -> (Language, Language) {
    let words = format!("{} {}", ask.title, ask.content).to_lowercase();
    let said = |before: &str| {
        Language::ALL
            .into_iter()
            .find(|l| words.contains(&format!("{before} {}", l.name().to_lowercase())))
    };
    let seems = |language| {
        let known = |line: &&str| phrases().any(|p| other(p, language) == line.trim());
        lines(text).iter().filter(|line| known(line)).count()
    };
    let from = said("from").unwrap_or_else(|| {
        Language::ALL.into_iter().rev().max_by_key(|l| seems(*l)).unwrap_or(Language::English)
    });
    let to = said("into").or_else(|| said("to")).filter(|to| *to != from);
    (
        from,
        to.unwrap_or(if from == Language::English { Language::Spanish } else { Language::English }),
    )
}

/// What has no translation stays as it is.
fn by_words(line: &str, from: Language, to: Language) -> String {
    let one = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_alphanumeric());
        let found = WORDS.iter().find(|p| other(p, from).to_lowercase() == core.to_lowercase());
        match found.filter(|_| !core.is_empty()) {
            Some(phrase) => word.replacen(core, other(phrase, to), 1),
            None => word.to_owned(),
        }
    };
    line.split(' ').map(one).collect::<Vec<_>>().join(" ")
}
