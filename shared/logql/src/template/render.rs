//! Walks a template's tree for one entry.
//!
//! In: the tree and the entry. Out: text, or an error in Go's words with the place where it happened. Bounded in steps,
//! output, the bytes that functions make on the way, and the depth of templates that call each other.

use super::functions::{Function, Scope, Type};
use super::time;
use super::tree::{Branch, Command, Node, Number, Operand, OperandKind, Pipe};
use super::value::{Entry, Value};
use super::{Context, Error, Template};

/// Nodes and commands that one rendering may visit.
const STEPS_MAX: usize = 100_000;
/// Longest output of one rendering.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// Bytes that functions may make in one rendering.
const SCRATCH_BYTES_MAX: usize = 16 << 20;
/// Deepest nesting of template calls.
const CALLS_MAX: usize = 50;

/// Renders a template for an entry.
pub(super) fn render(template: &Template, context: &dyn Context, out: &mut String) -> Result<(), Error> {
    let dot = Value::Labels(Entry(context));
    let mut renderer = Renderer {
        template,
        scope: Scope { context, room: SCRATCH_BYTES_MAX, regexes: &template.tree.regexes },
        variables: vec![("$", dot.clone())],
        name: &template.name,
        steps: 0,
        calls: 0,
        out_max: out.len() + OUTPUT_BYTES_MAX,
        out,
    };
    renderer.walk(&dot, &template.tree.main).map(|_| ())
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Renderer<'r, 'o> {
    template: &'r Template,
    scope: Scope<'r>,
    variables: Vec<(&'r str, Value<'r>)>,
    /// The template being rendered.
    name: &'r str,
    steps: usize,
    calls: usize,
    out_max: usize,
    out: &'o mut String,
}

impl<'r> Renderer<'r, '_> {
    fn walk(&mut self, dot: &Value<'r>, nodes: &'r [Node]) -> Result<Flow, Error> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::Next
                }
                Node::Action(pipe) => {
                    // Most actions are a label and nothing else.
                    if let (Some(name), Value::Labels(entry)) = (pipe.label(), dot) {
                        self.step()?;
                        self.out.push_str(entry.0.label(name).unwrap_or_default());
                    } else {
                        let value = self.pipe(dot, pipe)?;
                        if pipe.variables.is_empty() {
                            value.print(self.out);
                        }
                    }
                    Flow::Next
                }
                Node::If(branch) => self.branch(dot, branch, false)?,
                Node::With(branch) => self.branch(dot, branch, true)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Template { position, name, pipe } => {
                    self.call_template(dot, *position, name, pipe.as_ref())?;
                    Flow::Next
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if self.out.len() > self.out_max {
                return Err(Error::new(format!("template: {}: output is too long", self.template.name)));
            }
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn step(&mut self) -> Result<(), Error> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Error::new(format!("template: {}: too many steps", self.template.name)));
        }
        Ok(())
    }

    /// An error at a place.
    fn fail(&self, position: usize, place: &dyn std::fmt::Display, why: impl std::fmt::Display) -> Error {
        let before = self.template.text.get(..position).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(position, |newline| position - newline - 1);
        let (template, name) = (&self.template.name, model::quote(self.name));
        Error::new(format!("template: {template}:{line}:{column}: executing {name} at <{place}>: {why}"))
    }

    fn branch(&mut self, dot: &Value<'r>, branch: &'r Branch, is_with: bool) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = match (value.is_true(), is_with) {
            (true, true) => self.walk(&value, &branch.body),
            (true, false) => self.walk(dot, &branch.body),
            (false, _) => self.walk(dot, &branch.otherwise),
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, dot: &Value<'r>, branch: &'r Branch) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let map = |fields: &mut dyn Iterator<Item = (String, Value<'r>)>| -> Vec<(Value<'r>, Value<'r>)> {
            fields.map(|(name, value)| (Value::text(name), value)).collect()
        };
        let items: Vec<(Value<'r>, Value<'r>)> = match &value {
            Value::Nil => Vec::new(),
            Value::List(items) => {
                items.iter().enumerate().map(|(i, item)| (Value::Int(i as i64), item.clone())).collect()
            }
            Value::Map(fields) => map(&mut fields.iter().map(|(name, value)| (name.clone(), value.clone()))),
            Value::Labels(entry) => map(&mut entry.labels().into_iter()),
            Value::Int(count) => {
                // More than there are steps ends in an error anyway.
                let count = (*count).min(STEPS_MAX as i64 + 1);
                (0..count).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            other => {
                let mut shown = String::new();
                other.print_inside(&mut shown);
                let position = branch.pipe.commands.first().map_or(0, Command::position);
                return Err(self.fail(position, &branch.pipe, format!("range can't iterate over {shown}")));
            }
        };
        if items.is_empty() {
            let flow = self.walk(dot, &branch.otherwise);
            self.variables.truncate(scope);
            return flow;
        }
        for (index, item) in items {
            self.step()?;
            let inside = self.variables.len();
            match branch.pipe.variables.as_slice() {
                [one] => self.set(one, item.clone()),
                [first, second] => {
                    self.set(first, index);
                    self.set(second, item.clone());
                }
                _ => {}
            }
            let flow = self.walk(&item, &branch.body)?;
            self.variables.truncate(inside);
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::Next)
    }

    fn call_template(
        &mut self,
        dot: &Value<'r>,
        position: usize,
        name: &'r str,
        pipe: Option<&'r Pipe>,
    ) -> Result<(), Error> {
        let Some(nodes) = self.template.tree.named.get(name) else {
            let place = format!("{{{{template {}}}}}", model::quote(name));
            return Err(self.fail(position, &place, format!("template {} not defined", model::quote(name))));
        };
        if self.calls >= CALLS_MAX {
            return Err(Error::new(format!(
                "template: {}: exceeded maximum template depth ({CALLS_MAX})",
                self.template.name
            )));
        }
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nil,
        };
        let outside = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        self.calls += 1;
        let flow = self.walk(&dot, nodes);
        self.calls -= 1;
        self.name = outer;
        self.variables = outside;
        flow.map(|_| ())
    }

    fn set(&mut self, name: &str, value: Value<'r>) {
        if let Some(variable) = self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            variable.1 = value;
        }
    }

    fn pipe(&mut self, dot: &Value<'r>, pipe: &'r Pipe) -> Result<Value<'r>, Error> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.assigns {
                self.set(name, value.clone());
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// One command; `piped` is what the one before it gave.
    fn command(&mut self, dot: &Value<'r>, command: &'r Command, piped: Option<Value<'r>>) -> Result<Value<'r>, Error> {
        self.step()?;
        let Some((first, arguments)) = command.operands.split_first() else { return Ok(Value::Nil) };
        let (receiver, names) = match &first.kind {
            OperandKind::Function(function) => return self.call(dot, command, function, arguments, piped),
            OperandKind::Field(names) => (dot.clone(), names),
            OperandKind::Variable(name, names) => (self.variable(name), names),
            OperandKind::Pipe(pipe, names) => (self.pipe(dot, pipe)?, names),
            _ => {
                self.no_arguments(first, arguments, piped.as_ref())?;
                return self.constant(dot, first);
            }
        };
        if names.is_empty() {
            self.no_arguments(first, arguments, piped.as_ref())?;
            return Ok(receiver);
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.argument(dot, Type::Any, argument)?);
        }
        values.extend(piped);
        self.fields(first, receiver, names, &values)
    }

    fn no_arguments(&self, first: &Operand, arguments: &[Operand], piped: Option<&Value<'r>>) -> Result<(), Error> {
        if arguments.is_empty() && piped.is_none() {
            return Ok(());
        }
        Err(self.fail(first.position, first, format!("can't give argument to non-function {first}")))
    }

    fn variable(&self, name: &str) -> Value<'r> {
        self.variables.iter().rev().find(|(known, _)| *known == name).map_or(Value::Nil, |(_, value)| value.clone())
    }

    fn constant(&self, dot: &Value<'r>, operand: &'r Operand) -> Result<Value<'r>, Error> {
        Ok(match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Bool(value) => Value::Bool(*value),
            OperandKind::Number(_, Number::Int(value)) => Value::Int(*value),
            OperandKind::Number(_, Number::Float(value)) => Value::Float(*value),
            OperandKind::Text(text) => Value::text(text.as_str()),
            _ => return Err(self.fail(operand.position, operand, "nil is not a command")),
        })
    }

    /// `receiver.a.b`; arguments go to the last, which then must be a method.
    fn fields(
        &self,
        operand: &Operand,
        receiver: Value<'r>,
        names: &'r [String],
        arguments: &[Value<'r>],
    ) -> Result<Value<'r>, Error> {
        let fail = |why: String| self.fail(operand.position, operand, why);
        let mut value = receiver;
        for (i, name) in names.iter().enumerate() {
            let given = if i + 1 == names.len() { arguments } else { &[] };
            let method = match &value {
                Value::Time(time) => time.call(name, given),
                Value::Duration(nanos) if given.is_empty() => time::call_duration(*nanos, name).map(Ok),
                _ => None,
            };
            value = match (method, &value) {
                (Some(result), _) => result.map_err(|why| fail(format!("error calling {name}: {why}")))?,
                (None, Value::Labels(_) | Value::Map(_)) if !given.is_empty() => {
                    return Err(fail(format!("{name} has arguments but cannot be invoked as function")));
                }
                (None, Value::Labels(entry)) => Value::text(entry.0.label(name).unwrap_or_default()),
                (None, Value::Map(fields)) => fields.get(name).cloned().unwrap_or(Value::Nil),
                (None, Value::Nil) if i == 0 => Value::Nil,
                (None, Value::Nil) => return Err(fail(format!("nil pointer evaluating interface {{}}.{name}"))),
                (None, other) => {
                    return Err(fail(format!("can't evaluate field {name} in type {}", other.type_name())));
                }
            };
        }
        Ok(value)
    }

    fn call(
        &mut self,
        dot: &Value<'r>,
        command: &'r Command,
        function: &'static Function,
        arguments: &'r [Operand],
        piped: Option<Value<'r>>,
    ) -> Result<Value<'r>, Error> {
        let (name, least) = (function.name, function.parameters.len());
        let got = arguments.len() + usize::from(piped.is_some());
        if got < least || (got > least && function.rest.is_none()) {
            let want = if function.rest.is_some() { format!("at least {least}") } else { least.to_string() };
            let why = format!("wrong number of args for {name}: want {want} got {got}");
            return Err(self.fail(command.position(), command, why));
        }
        let mut values = Vec::with_capacity(got);
        for (i, argument) in arguments.iter().enumerate() {
            let value = self.argument(dot, function.parameter(i).unwrap_or(Type::Any), argument)?;
            // These two look no further than they must.
            let decides = (name == "and" && !value.is_true()) || (name == "or" && value.is_true());
            if decides {
                return Ok(value);
            }
            values.push(value);
        }
        if let Some(piped) = piped {
            let wanted = function.parameter(values.len()).unwrap_or(Type::Any);
            values.push(checked(piped, wanted).map_err(|why| self.fail(command.position(), command, why))?);
        }
        (function.call)(&mut self.scope, &values)
            .map_err(|why| self.fail(command.position(), command, format!("error calling {name}: {why}")))
    }

    /// An operand as argument of a certain type.
    fn argument(&mut self, dot: &Value<'r>, wanted: Type, operand: &'r Operand) -> Result<Value<'r>, Error> {
        let expected = |what: &str| format!("expected {what}; found {operand}");
        let value = match (&operand.kind, wanted) {
            (OperandKind::Number(_, Number::Float(value)), Type::Int) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Ok(Value::Int(*value as i64))
            }
            (OperandKind::Number(_, Number::Int(value)), Type::Float) => Ok(Value::Float(*value as f64)),
            (OperandKind::Number(..) | OperandKind::Bool(_), Type::Text) => Err(expected("string")),
            (OperandKind::Text(_) | OperandKind::Bool(_) | OperandKind::Number(_, Number::Float(_)), Type::Int) => {
                Err(expected("integer"))
            }
            (OperandKind::Text(_) | OperandKind::Bool(_), Type::Float) => Err(expected("float")),
            (OperandKind::Nil, Type::Any) => Ok(Value::Nil),
            (OperandKind::Nil, _) => Err(format!("cannot assign nil to {}", type_name(wanted))),
            (OperandKind::Field(names), _) => {
                let value = self.fields(operand, dot.clone(), names, &[])?;
                checked(value, wanted)
            }
            (OperandKind::Variable(name, names), _) => {
                let value = self.fields(operand, self.variable(name), names, &[])?;
                checked(value, wanted)
            }
            (OperandKind::Pipe(pipe, names), _) => {
                let receiver = self.pipe(dot, pipe)?;
                checked(self.fields(operand, receiver, names, &[])?, wanted)
            }
            (OperandKind::Function(function), _) => {
                let least = function.parameters.len();
                if least > 0 {
                    let want = if function.rest.is_some() { format!("at least {least}") } else { least.to_string() };
                    Err(format!("wrong number of args for {}: want {want} got 0", function.name))
                } else {
                    (function.call)(&mut self.scope, &[]).and_then(|value| checked(value, wanted))
                }
            }
            _ => checked(self.constant(dot, operand)?, wanted),
        };
        value.map_err(|why| self.fail(operand.position, operand, why))
    }
}

fn type_name(wanted: Type) -> &'static str {
    match wanted {
        Type::Any => "interface {}",
        Type::Text => "string",
        Type::Int => "int",
        Type::Float => "float64",
        Type::Time => "time.Time",
    }
}

/// The value, if the parameter takes its type.
fn checked(value: Value<'_>, wanted: Type) -> Result<Value<'_>, String> {
    let fits = match wanted {
        Type::Any => true,
        Type::Text => matches!(value, Value::Text(_)),
        Type::Int => value.whole().is_some(),
        Type::Float => matches!(value, Value::Float(_)),
        Type::Time => matches!(value, Value::Time(_)),
    };
    match (fits, &value) {
        (true, _) => Ok(value),
        (false, Value::Nil) => Err(format!("invalid value; expected {}", type_name(wanted))),
        (false, _) => Err(format!("wrong type for value; expected {}; got {}", type_name(wanted), value.type_name())),
    }
}
