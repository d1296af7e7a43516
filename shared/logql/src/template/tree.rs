//! A template as a tree, and its parts as text, which errors quote.

use std::collections::HashMap;
use std::fmt;

use super::functions::Function;

/// A number as written in a template: which types it can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// Reads a number as Go writes them, with underscores and bases.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let plain = digits.replace('_', "");
        let lower = plain.to_ascii_lowercase();
        let based = [("0x", 16), ("0o", 8), ("0b", 2)]
            .into_iter()
            .find_map(|(prefix, radix)| lower.strip_prefix(prefix).map(|rest| i128::from_str_radix(rest, radix)));
        let octal = lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let whole = match based {
            Some(whole) => whole.ok(),
            None if octal => i128::from_str_radix(&lower, 8).ok(),
            None if lower.bytes().all(|b| b.is_ascii_digit()) => lower.parse().ok(),
            None => None,
        };
        if let Some(whole) = whole {
            return i64::try_from(whole * sign).ok().map(Number::Int);
        }
        // Rust reads `inf` and `nan` too.
        lower.starts_with(|c: char| c.is_ascii_digit() || c == '.').then_some(())?;
        let value: f64 = lower.parse().ok()?;
        value.is_finite().then_some(Number::Float(value * sign as f64))
    }
}

/// All templates of one text: the main one has the name under which it was parsed.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) main: Vec<Node>,
    /// `define` and `block`.
    pub(super) named: HashMap<String, Vec<Node>>,
    /// Regular expressions that stand in the template as text.
    pub(super) regexes: HashMap<String, regex::Regex>,
}

/// One piece of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { position: usize, name: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// `{{if pipe}} body {{else}} otherwise {{end}}` and its kin.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$x, $y := command | command`.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A function and its arguments, or a single operand.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// An operand and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) position: usize,
    pub(super) kind: OperandKind,
}

/// What an operand is.
#[derive(Debug, Clone)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(String, Number),
    Text(String),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(&'static Function),
    /// `(pipe).a.b`
    Pipe(Box<Pipe>, Vec<String>),
}

impl Tree {
    /// The labels that the template can ask for; none if it looks at all of them.
    pub(super) fn labels(&self) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let lists = std::iter::once(&self.main).chain(self.named.values());
        let known = lists.into_iter().try_for_each(|nodes| list_labels(nodes, &mut names));
        known.map(|()| names)
    }
}

/// Adds the labels that nodes can ask for. `None`: any, since the dot or a variable is used as a whole. Fields of
/// something else than the entry are added too; they do no harm.
fn list_labels(nodes: &[Node], names: &mut Vec<String>) -> Option<()> {
    nodes.iter().try_for_each(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue | Node::Template { pipe: None, .. } => Some(()),
        Node::Action(pipe) | Node::Template { pipe: Some(pipe), .. } => pipe_labels(pipe, names),
        Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
            pipe_labels(&branch.pipe, names)?;
            list_labels(&branch.body, names)?;
            list_labels(&branch.otherwise, names)
        }
    })
}

fn pipe_labels(pipe: &Pipe, names: &mut Vec<String>) -> Option<()> {
    pipe.commands.iter().flat_map(|command| &command.operands).try_for_each(|operand| match &operand.kind {
        OperandKind::Dot | OperandKind::Variable(..) => None,
        OperandKind::Field(fields) => {
            names.extend(fields.first().cloned());
            Some(())
        }
        OperandKind::Pipe(pipe, _) => pipe_labels(pipe, names),
        OperandKind::Nil
        | OperandKind::Bool(_)
        | OperandKind::Number(..)
        | OperandKind::Text(_)
        | OperandKind::Function(_) => Some(()),
    })
}

impl Pipe {
    /// The name, if the pipe is `.name` and no more.
    pub(super) fn label(&self) -> Option<&str> {
        let [Command { operands }] = self.commands.as_slice() else { return None };
        let [Operand { kind: OperandKind::Field(names), .. }] = operands.as_slice() else { return None };
        let [name] = names.as_slice() else { return None };
        self.variables.is_empty().then_some(name)
    }
}

impl Command {
    pub(super) fn position(&self) -> usize {
        self.operands.first().map_or(0, |operand| operand.position)
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| names.iter().try_for_each(|n| write!(f, ".{n}"));
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Number(written, _) => f.write_str(written),
            OperandKind::Text(text) => f.write_str(&model::quote(text)),
            OperandKind::Field(names) => fields(f, names),
            OperandKind::Function(function) => f.write_str(function.name),
            OperandKind::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            OperandKind::Pipe(pipe, names) => {
                write!(f, "({pipe})")?;
                fields(f, names)
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.operands.iter().enumerate() {
            write!(f, "{}{operand}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if i == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}
