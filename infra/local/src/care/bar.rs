//! Shows how far work has come, and prints what it finds.
//!
//! In: the calls of the work. Out: a bar on standard error if that is a terminal, and each finding on standard output at once.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ingest_fn::care::{Finding, Progress};

use crate::cli::Format;

const TEMPLATE: &str = "{spinner} {pos}/{len} objects, {msg} [{elapsed}, {eta} left] {wide_bar}";
/// Redraws in a second.
const REDRAWS: u8 = 5;

/// A listener that shows.
pub(super) struct Bar {
    bar: ProgressBar,
    bytes: ProgressBar,
    format: Format,
}

impl Bar {
    pub(super) fn new(format: Format) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(REDRAWS));
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Bar { bar, bytes: ProgressBar::hidden(), format }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    #[expect(clippy::print_stdout, reason = "what was asked for")]
    fn print(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }
}

impl Progress for Bar {
    fn more(&self, objects: u64, _: u64) {
        self.bar.inc_length(objects);
    }

    fn done(&self, objects: u64, bytes: u64) {
        self.bytes.inc(bytes);
        self.bar.inc(objects);
        self.bar.set_message(format!("{} MB", self.bytes.position() >> 20));
    }

    fn found(&self, finding: &Finding) {
        match self.format {
            Format::Text => self.print(&finding.to_string()),
            Format::Json => self.print(
                &serde_json::json!({
                    "finding": finding.kind.word(), "key": finding.key, "why": finding.why, "loses": finding.loses,
                })
                .to_string(),
            ),
        }
    }
}
