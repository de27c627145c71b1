use super::*;
use crate::cli::Exit;
use crate::config;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn out(json: bool) -> (Out, Paper, Paper) {
    let (data, talk) = (Paper::default(), Paper::default());
    (Out::on(json, data.clone(), talk.clone()), data, talk)
}

const COLUMNS: [Column; 3] = [
    Column { name: "gig", align: Align::Left },
    Column { name: "sats", align: Align::Right },
    Column { name: "title", align: Align::Left },
];

fn rows() -> Vec<Vec<String>> {
    let row = |a: &str, b: &str, c: &str| vec![a.into(), b.into(), c.into()];
    vec![row("7f3a", "21000", "日本 label"), row("9", "5", "a\nb\u{1b}[2J\u{202e}c")]
}

#[test]
fn people_get_a_table_and_programs_get_records() {
    let (mut person, data, talk) = out(false);
    person.table(&COLUMNS, &rows(), "no gigs").unwrap();
    person.record(&1).unwrap();
    person.line("21000 sat").unwrap();
    person.table(&COLUMNS, &[], "no gigs yet").unwrap();
    assert_eq!(
        data.text(),
        "gig    sats  title\n7f3a  21000  日本 label\n9         5  a bc\n21000 sat\n"
    );
    assert_eq!(talk.text(), "no gigs yet\n");

    #[derive(Serialize)]
    struct Gig {
        title: Raw,
        sats: u64,
    }
    let (mut program, data, talk) = out(true);
    program.record(&Gig { title: "é\u{202e}\u{9b}😀\n".into(), sats: 5 }).unwrap();
    program.record(&[1, 2]).unwrap();
    program.record(&serde_json::json!({})).unwrap();
    program.table(&COLUMNS, &rows(), "no gigs").unwrap();
    program.line("x").unwrap();
    assert_eq!(
        data.text(),
        "{\"v\":1,\"title\":\"é\\u202e\\u009b\\ud83d\\ude00\\n\",\"sats\":5}\n\
         {\"v\":1,\"value\":[1,2]}\n{\"v\":1}\n"
    );
    let back: serde_json::Value =
        serde_json::from_str(data.text().lines().next().unwrap()).unwrap();
    assert_eq!(back["title"], "é\u{202e}\u{9b}😀\n", "nothing is lost");
    assert_eq!(talk.text(), "");
}

#[test]
fn a_failure_says_what_happened_where_the_money_is_and_what_now() {
    let failure = Failure::new(Exit::Offline, "relay-silent", "No relay\u{1b}[2J answered.")
        .money(Money::Held)
        .next("earnest job show 7f3a");
    let (mut person, data, talk) = out(false);
    assert_eq!(person.fail(&failure), ExitCode::from(6));
    assert_eq!(
        talk.text(),
        "error: No relay answered.\n  Money is locked: it will end paid or come back by \
         itself.\n  next: earnest job show 7f3a\n"
    );
    assert_eq!(data.text(), "");
    let (mut program, data, talk) = out(true);
    assert_eq!(program.fail(&failure), ExitCode::from(6));
    assert_eq!(
        talk.text(),
        "{\"v\":1,\"code\":\"relay-silent\",\"message\":\"No relay\\u001b[2J answered.\",\
         \"money\":\"held\",\"next\":[\"earnest job show 7f3a\"]}\n"
    );
    assert_eq!(data.text(), "");
}

#[test]
fn each_end_has_its_status() {
    use Exit::*;
    let all = [Done, Failed, Usage, Refused, NotFound, Funds, Offline, Locked, Interrupted];
    assert_eq!(all.map(Exit::status), [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    let usage = Failure::from(config::Error::NoHome);
    assert_eq!((usage.exit, usage.about_money()), (Usage, None));
    let refused = Failure::new(Refused, "too-late", "Too late.");
    assert_eq!(refused.about_money(), Some("No money moved."));
}

#[test]
fn a_reader_that_left_ends_it_quietly() {
    let talk = Paper::default();
    let mut out = Out::on(true, Closed, talk.clone());
    let failure = Failure::from(out.record(&1).unwrap_err());
    assert_eq!(out.fail(&failure), ExitCode::from(0));
    assert_eq!(talk.text(), "");
    let mut out = Out::on(false, talk.clone(), Closed);
    let failure = Failure::new(Exit::Failed, "io", "x");
    assert_eq!(out.fail(&failure), ExitCode::from(1), "a closed stderr changes nothing");
}

#[test]
fn colour_frames_our_words_and_never_theirs() {
    let (mut person, data, talk) = out(false);
    person.stdout.color = true;
    person.stderr.color = true;
    person.stdout.wide = Some(20);
    person.table(&COLUMNS, &rows(), "").unwrap();
    assert!(data.text().starts_with("\u{1b}[1mgig    sats  title\u{1b}[0m\n"));
    assert!(data.text().lines().skip(1).all(|l| cells(l) <= 20 && !l.contains('\u{1b}')));
    person.fail(&Failure::new(Exit::Failed, "x", "\u{1b}[32mfine"));
    assert_eq!(talk.text(), "\u{1b}[1;31merror:\u{1b}[0m fine\n");
}
