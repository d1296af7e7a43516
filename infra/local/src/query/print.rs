//! Results on standard output: for a person, as lines alone, or as JSON, an object a line.
//!
//! Colours and escaped control characters are a terminal's; a pipe gets lines as they are.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{self, Data, Entry, Labels, Point};
use super::options::{Color, Form, environment};

const NANOS_PER_MILLI: i64 = 1_000_000;

const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Standard output in one of its forms.
pub(super) struct Printer {
    form: Form,
    coloured: bool,
    terminal: bool,
    out: BufWriter<Stdout>,
}

impl Printer {
    pub(super) fn new(form: Form, color: Color) -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let coloured = match color {
            Color::Auto => terminal && environment("NO_COLOR").is_none(),
            Color::Always => true,
            Color::Never => false,
        };
        Printer { form, coloured, terminal, out: BufWriter::new(out) }
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Entries, in the order given.
    pub(super) fn entries(&mut self, entries: &[Entry]) -> io::Result<()> {
        for Entry { timestamp_ns, labels, line } in entries {
            match self.form {
                Form::Raw => writeln!(self.out, "{line}")?,
                Form::Jsonl => {
                    self.json(&json!({"labels": **labels, "line": line, "timestamp": time(*timestamp_ns)}))?;
                }
                Form::Default => {
                    let (time, colour) = (self.colour(DIM, time(*timestamp_ns)), colour_of(labels));
                    let labels = self.colour(colour, selector(labels));
                    let line = if self.terminal { visible(line) } else { Cow::Borrowed(line.as_str()) };
                    writeln!(self.out, "{time} {labels} {line}")?;
                }
            }
        }
        self.out.flush()
    }

    /// What a query found, series by series.
    pub(super) fn points(&mut self, data: &Data) -> io::Result<()> {
        match data {
            Data::Streams(_) => {}
            Data::Scalar(Point(_, value)) => match self.form {
                Form::Jsonl => self.json(&json!({"value": value}))?,
                Form::Default | Form::Raw => writeln!(self.out, "{value}")?,
            },
            Data::Vector(samples) => {
                for sample in samples {
                    self.point(&sample.metric, &sample.value)?;
                }
            }
            Data::Matrix(all) => {
                for series in all {
                    for point in &series.values {
                        self.point(&series.metric, point)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn point(&mut self, labels: &Labels, Point(seconds, value): &Point) -> io::Result<()> {
        let milliseconds = (seconds * 1e3).round() as i64;
        let time = time(milliseconds.saturating_mul(NANOS_PER_MILLI));
        match self.form {
            Form::Raw => writeln!(self.out, "{value}"),
            Form::Jsonl => self.json(&json!({"labels": labels, "timestamp": time, "value": value})),
            Form::Default => {
                let (time, labels) = (self.colour(DIM, time), self.colour(CYAN, selector(labels)));
                writeln!(self.out, "{time} {labels} {value}")
            }
        }
    }

    /// A label set.
    pub(super) fn labels(&mut self, labels: &Labels) -> io::Result<()> {
        match self.form {
            Form::Jsonl => self.json(&json!(labels)),
            Form::Raw => writeln!(self.out, "{}", selector(labels)),
            Form::Default => {
                let labels = self.colour(CYAN, selector(labels));
                writeln!(self.out, "{labels}")
            }
        }
    }

    /// A label set and how many bytes it has.
    pub(super) fn volume(&mut self, labels: &Labels, Point(_, value): &Point) -> io::Result<()> {
        match self.form {
            Form::Jsonl => self.json(&json!({"labels": labels, "bytes": value})),
            Form::Raw => writeln!(self.out, "{value} {}", selector(labels)),
            Form::Default => {
                let labels = self.colour(CYAN, selector(labels));
                writeln!(self.out, "{value:>14} B {labels}")
            }
        }
    }

    /// Text that is the same in all forms.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// An object, or a text, as JSON.
    pub(super) fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn colour(&self, colour: &str, text: String) -> String {
        if self.coloured { format!("{colour}{text}{PLAIN}") } else { text }
    }
}

/// Red is for what failed.
fn colour_of(labels: &answer::Labels) -> &'static str {
    let level = ["level", "detected_level"].iter().find_map(|name| labels.get(*name));
    match level.map(|level| level.to_ascii_lowercase()).as_deref() {
        Some("error" | "err" | "critical" | "fatal") => RED,
        Some("warn" | "warning") => YELLOW,
        _ => CYAN,
    }
}

/// Labels as they are written in a query.
fn selector(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={}", json!(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// RFC 3339, to the nanosecond if need be.
fn time(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| time.to_string())
}

/// A line that does not command the terminal it is shown on. Colours in a line are lost with it.
fn visible(line: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && c != '\t' && c != '\n';
    if !line.contains(commands) {
        return line.into();
    }
    let shown = |c: char| if commands(c) { c.escape_unicode().to_string() } else { c.to_string() };
    line.chars().map(shown).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_command_the_terminal() {
        let check = |line: &str, want: &str| assert_eq!(visible(line), want);
        check("plain\tténs\nof lines", "plain\tténs\nof lines");
        check("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}");
    }
}
