//! Functions to write: in the notation of a pocket calculator, so that whoever asked can run them.
//!
//! The arguments lie on the stack, the last on top; what is left on top is the result. Words are split by
//! space, and `#` begins a comment.

use rand::rngs::StdRng;

use super::{Ask, Care, Task, Work, either, named, pick, price, tags};

/// Words in one program, at most: a function, not a proof of work.
const LONGEST: usize = 200;

struct Function {
    name: &'static str,
    about: &'static str,
    arguments: &'static str,
    /// Shown with the gig.
    tests: &'static [(&'static [f64], f64)],
    /// Kept back.
    hidden: &'static [(&'static [f64], f64)],
    solution: &'static str,
    /// Passes the first test and no more.
    hasty: &'static str,
}

const FUNCTIONS: &[Function] = &[
    Function {
        name: "celsius",
        about: "degrees Fahrenheit to degrees Celsius",
        arguments: "f",
        tests: &[(&[212.0], 100.0), (&[32.0], 0.0), (&[-40.0], -40.0)],
        hidden: &[(&[98.6], 37.0), (&[0.0], -17.777_777_777_8)],
        solution: "32 - 5 * 9 /",
        hasty: "112 -",
    },
    Function {
        name: "vat_included",
        about: "a net price with 19 percent of tax on it, in whole cents, rounded down",
        arguments: "net_cents",
        tests: &[(&[100.0], 119.0), (&[250.0], 297.0), (&[1.0], 1.0)],
        hidden: &[(&[999.0], 1188.0), (&[0.0], 0.0)],
        solution: "119 * 100 / floor",
        hasty: "1.19 *",
    },
    Function {
        name: "hypotenuse",
        about: "the long side of a right triangle",
        arguments: "a b",
        tests: &[(&[3.0, 4.0], 5.0), (&[5.0, 12.0], 13.0), (&[0.0, 7.0], 7.0)],
        hidden: &[(&[8.0, 15.0], 17.0), (&[20.0, 21.0], 29.0)],
        solution: "dup * swap dup * + sqrt",
        hasty: "+ 2 -",
    },
    Function {
        name: "trays",
        about: "how many trays of 12 are needed for so many loaves",
        arguments: "loaves",
        tests: &[(&[1.0], 1.0), (&[12.0], 1.0), (&[13.0], 2.0), (&[0.0], 0.0)],
        hidden: &[(&[144.0], 12.0), (&[145.0], 13.0)],
        solution: "11 + 12 / floor",
        hasty: "12 / floor 1 +",
    },
    Function {
        name: "clamp",
        about: "x, but no less than low and no more than high",
        arguments: "x low high",
        tests: &[(&[5.0, 0.0, 10.0], 5.0), (&[-3.0, 0.0, 10.0], 0.0), (&[42.0, 0.0, 10.0], 10.0)],
        hidden: &[(&[7.0, 7.0, 7.0], 7.0), (&[-9.0, -5.0, -1.0], -5.0)],
        solution: "rot rot max min",
        hasty: "drop drop",
    },
    Function {
        name: "ppm",
        about: "a fee of so many parts per million of an amount, rounded up",
        arguments: "amount ppm",
        tests: &[(&[1_000_000.0, 100.0], 100.0), (&[1.0, 1.0], 1.0), (&[0.0, 5.0], 0.0)],
        hidden: &[(&[21_000.0, 10_000.0], 210.0), (&[21_001.0, 10_000.0], 211.0)],
        solution: "* 1000000 / neg floor neg",
        hasty: "* 1000000 /",
    },
    Function {
        name: "mean3",
        about: "the mean of three numbers",
        arguments: "a b c",
        tests: &[(&[1.0, 2.0, 3.0], 2.0), (&[0.0, 0.0, 9.0], 3.0), (&[-6.0, 0.0, 6.0], 0.0)],
        hidden: &[(&[1.0, 1.0, 2.0], 1.333_333_333_3)],
        solution: "+ + 3 /",
        hasty: "drop swap drop",
    },
    Function {
        name: "leap",
        about: "1 for a leap year of the Gregorian calendar, else 0",
        arguments: "year",
        tests: &[(&[2024.0], 1.0), (&[2023.0], 0.0), (&[1900.0], 0.0), (&[2000.0], 1.0)],
        hidden: &[(&[2100.0], 0.0), (&[2400.0], 1.0), (&[1996.0], 1.0)],
        solution: "dup 4 % 0 = over 100 % 0 = not * swap 400 % 0 = max",
        hasty: "4 % 0 =",
    },
];

const WORDS: &str =
    "`+ - * / %` `=` `<` `not` `min max` `abs neg floor sqrt` `dup drop swap over rot`";

/// A function to write.
pub(super) fn task(chance: &mut StdRng) -> Task {
    let f = pick(chance, FUNCTIONS);
    let told = |(arguments, result): &(&[f64], f64)| {
        let arguments: Vec<String> = arguments.iter().map(f64::to_string).collect();
        format!("{} => {result}\n", arguments.join(" "))
    };
    let tests: String = f.tests.iter().map(told).collect();
    let file = format!("{}-tests.txt", f.name);
    Task {
        title: format!("Write the function `{}` for a pocket calculator", f.name),
        summary: format!("One line of postfix notation: {}. Tests attached.", f.about),
        content: format!(
            "Write `{}`: {}.\n\nIts arguments are `{}`, the last on top of the stack; what is left on top is \
             the result. Words: {WORDS}, and numbers. `#` begins a comment. For example, `dup *` squares.\n\n\
             `{file}` holds tests, one a line: arguments, `=>`, result. I run those and some that I keep to \
             myself.\n\nDeliver one text file.",
            f.name, f.about, f.arguments
        ),
        tags: tags(&["code", "function", "formula"]),
        modes: either(chance),
        sats: price(chance, 8_000, 16_000),
        inputs: vec![(file, tests)],
        check: Box::new(move |saw| passes(f, saw)),
    }
}

fn passes(f: &Function, program: &str) -> Result<(), String> {
    for (kept, tests) in [("", f.tests), (" (one that I kept to myself)", f.hidden)] {
        for (arguments, want) in tests {
            let saw = run(program, arguments).map_err(|why| format!("It does not run: {why}."))?;
            if (saw - want).abs() > 1e-6 {
                return Err(format!(
                    "A test fails{kept}: {arguments:?} gives {saw} and should give {want}."
                ));
            }
        }
    }
    Ok(())
}

/// Writes the function that the gig names, if it is one that is known here.
pub(super) fn work(ask: &Ask, care: Care) -> Option<Work> {
    let words = format!("{}\n{}", ask.title, ask.content);
    let f = FUNCTIONS.iter().find(|f| words.contains(&format!("`{}`", f.name)))?;
    let body = if care == Care::Hasty { f.hasty } else { f.solution };
    let text = format!("# {}: {}\n# {}\n{body}\n", f.name, f.about, f.arguments);
    let name = named(ask.inputs.first().map_or(f.name, |(name, _)| name), "", "rpn");
    let message = format!("`{}` in {} words.", f.name, body.split(' ').count());
    Some(Work { name: name.replace("-tests", ""), bytes: text.into_bytes(), message })
}

/// Runs a program on its arguments.
pub(super) fn run(program: &str, arguments: &[f64]) -> Result<f64, String> {
    let code = program.lines().map(|line| line.split('#').next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join(" ");
    let mut stack = arguments.to_vec();
    for (n, word) in code.split_whitespace().enumerate() {
        if n >= LONGEST {
            return Err(format!("it has more than {LONGEST} words"));
        }
        step(word, &mut stack)?;
    }
    stack.pop().ok_or_else(|| "nothing is left on the stack".into())
}

fn step(word: &str, stack: &mut Vec<f64>) -> Result<(), String> {
    if let Ok(number) = word.parse::<f64>() {
        stack.push(number);
        return Ok(());
    }
    let mut pop =
        || stack.pop().ok_or_else(|| format!("`{}` finds the stack empty", super::short(word)));
    let truth = |is: bool| f64::from(u8::from(is));
    let result = match word {
        "+" | "-" | "*" | "/" | "%" | "=" | "<" | "min" | "max" => {
            let (b, a) = (pop()?, pop()?);
            vec![match word {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                "/" => a / b,
                "%" => a.rem_euclid(b),
                "=" => truth((a - b).abs() < 1e-9),
                "<" => truth(a < b),
                "min" => a.min(b),
                _ => a.max(b),
            }]
        }
        "abs" => vec![pop()?.abs()],
        "neg" => vec![-pop()?],
        "floor" => vec![(pop()? + 1e-9).floor()],
        "sqrt" => vec![pop()?.sqrt()],
        "not" => vec![truth(pop()?.abs() < 1e-9)],
        "drop" => {
            pop()?;
            vec![]
        }
        "dup" => {
            let a = pop()?;
            vec![a, a]
        }
        "swap" => {
            let (b, a) = (pop()?, pop()?);
            vec![b, a]
        }
        "over" => {
            let (b, a) = (pop()?, pop()?);
            vec![a, b, a]
        }
        "rot" => {
            let (c, b, a) = (pop()?, pop()?, pop()?);
            vec![b, c, a]
        }
        other => return Err(format!("`{}` is no word that I know", super::short(other))),
    };
    stack.extend(result);
    Ok(())
}
