//! `| line_format` and `| label_format`: lines and labels made from templates.

use crate::Error;
use crate::ast::{self, LabelSource};
use crate::labels::{ERROR as ERROR_LABEL, ERROR_DETAILS, LineLabels};
use crate::template::{Context, Template};

const ERROR: &str = "TemplateFormatErr";

/// The template of a `line_format`.
#[derive(Debug)]
pub(crate) struct LineFormat(Template);

impl LineFormat {
    pub(crate) fn new(template: &str) -> Result<Self, Error> {
        let template = Template::parse(template);
        template.map(LineFormat).map_err(|error| Error::invalid(format!("invalid line template: {error}")))
    }

    /// Writes the new line; `false` after a template error, which marks the entry.
    pub(crate) fn process(&self, line: &str, labels: &mut LineLabels<'_>, timestamp_ns: i64, out: &mut String) -> bool {
        let rendered = self.0.render(&Entry { line, labels, timestamp_ns }, out);
        if let Err(error) = &rendered {
            labels.set_error(ERROR, Some(&error.to_string()));
        }
        rendered.is_ok()
    }
}

/// The assignments of a `label_format`, in their order.
#[derive(Debug)]
pub(crate) struct LabelFormats(Vec<(String, Source)>);

#[derive(Debug)]
enum Source {
    Label(String),
    Template(Template),
}

impl LabelFormats {
    pub(crate) fn new(formats: &[ast::LabelFormat]) -> Result<Self, Error> {
        let mut compiled: Vec<(String, Source)> = Vec::with_capacity(formats.len());
        for format in formats {
            let label = &format.label;
            if label == ERROR_LABEL || label == ERROR_DETAILS {
                return Err(Error::invalid(format!("{label} cannot be formatted")));
            }
            if compiled.iter().any(|(earlier, _)| earlier == label) {
                let why = format!("multiple label name '{label}' not allowed in a single format operation");
                return Err(Error::invalid(why));
            }
            let source = match &format.source {
                LabelSource::Label(source) => Source::Label(source.clone()),
                LabelSource::Template(text) => {
                    let template = Template::parse_named(label, text);
                    let invalid = |error| Error::invalid(format!("invalid template for label '{label}': {error}"));
                    Source::Template(template.map_err(invalid)?)
                }
            };
            compiled.push((label.clone(), source));
        }
        Ok(LabelFormats(compiled))
    }

    pub(crate) fn process(&self, line: &str, labels: &mut LineLabels<'_>, timestamp_ns: i64) {
        // The templates of a stage do not see what the others of it make: all are rendered when the first one is met.
        let mut rendered = None;
        for (label, source) in &self.0 {
            match source {
                Source::Label(source) => rename(labels, source, label),
                Source::Template(_) => {
                    let texts = rendered.get_or_insert_with(|| self.render(line, labels, timestamp_ns).into_iter());
                    match texts.next() {
                        Some(Ok(text)) => labels.set(label, &text),
                        Some(Err(why)) => labels.set_error(ERROR, Some(&why)),
                        None => {}
                    }
                }
            }
        }
    }

    fn render(&self, line: &str, labels: &LineLabels<'_>, timestamp_ns: i64) -> Vec<Result<String, String>> {
        let entry = Entry { line, labels, timestamp_ns };
        let templates = self.0.iter().filter_map(|(_, source)| match source {
            Source::Template(template) => Some(template),
            Source::Label(_) => None,
        });
        let render = |template: &Template| {
            let mut out = String::new();
            template.render(&entry, &mut out).map(|()| out).map_err(|error| error.to_string())
        };
        templates.map(render).collect()
    }
}

/// `to=from`. Nothing happens without `from`; `a=a` takes `a` away.
fn rename(labels: &mut LineLabels<'_>, from: &str, to: &str) {
    if let Some(value) = labels.get(from).map(str::to_owned) {
        labels.set(to, &value);
        labels.remove(from);
    }
}

/// The entry as a template sees it.
struct Entry<'a, 'b> {
    line: &'a str,
    labels: &'a LineLabels<'b>,
    timestamp_ns: i64,
}

impl Context for Entry<'_, '_> {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name)
    }

    fn each_label(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.labels.iter().for_each(|(_, name, value)| visit(name, value));
    }

    fn line(&self) -> &str {
        self.line
    }

    fn timestamp_ns(&self) -> i64 {
        self.timestamp_ns
    }
}
