//! Any template is refused, renders or fails, in bounded time and memory, and does the same when asked again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logql::template::{Context, Template};

/// Most bytes that a rendering may write, and most by which the piece that makes it fail may pass that: the limits of
/// `template/render.rs`.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
const SCRATCH_BYTES_MAX: usize = 16 << 20;

struct Entry {
    line: String,
    labels: Vec<(&'static str, String)>,
}

impl Context for Entry {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
    fn each_label(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.labels.iter().for_each(|(name, value)| visit(name, value));
    }
    fn line(&self) -> &str {
        &self.line
    }
    fn timestamp_ns(&self) -> i64 {
        1_795_168_803_821_619_575
    }
}

fuzz_target!(|input: &[u8]| {
    let mut fields: Vec<String> = match fuzz::choices(input) {
        Some(mut u) => {
            let template = fuzz::query::template(&mut u).unwrap_or_default();
            let rest = (0..3).map(|_| fuzz::data::text(&mut u).unwrap_or_default());
            std::iter::once(template).chain(rest).collect()
        }
        None => fuzz::fields(input).into_iter().map(String::from).collect(),
    };
    fields.resize(4, String::new());
    let Ok(template) = Template::parse(&fields[0]) else { return };
    let labels = vec![("a", fields[2].clone()), ("app", "api".into()), ("b", fields[3].clone()), ("n", "3.5".into())];
    let entry = Entry { line: fields[1].clone(), labels };
    let render = || {
        let mut out = String::new();
        let result = template.render(&entry, &mut out);
        let over = if result.is_ok() { 0 } else { SCRATCH_BYTES_MAX };
        assert!(out.len() <= OUTPUT_BYTES_MAX + over, "{} bytes", out.len());
        (out, result.map_err(|error| error.to_string()))
    };
    // Without a clock there is nothing that could differ.
    let first = render();
    if !["now", "random", "uuid"].iter().any(|word| fields[0].contains(word)) {
        assert_eq!(render(), first);
    }
});
