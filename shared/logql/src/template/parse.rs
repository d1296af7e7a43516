//! Tokens to tree: Go's template grammar, with its error texts.

use std::collections::HashMap;

use super::functions;
use super::lex::{self, Kind, Token};
use super::tree::{Branch, Command, Node, Operand, OperandKind, Pipe, Tree};

/// Deepest nesting of actions and parentheses.
const NESTING_MAX: usize = 100;

/// Parses a template. The error is Go's: `template: name:1: unclosed action`.
pub(super) fn parse(name: &str, text: &str) -> Result<Tree, super::Error> {
    let at = |position: usize| 1 + text.as_bytes()[..position.min(text.len())].iter().filter(|b| **b == b'\n').count();
    let fail =
        |(position, why): (usize, String)| super::Error::new(format!("template: {name}:{}: {why}", at(position)));
    let tokens = lex::tokens(text).map_err(fail)?;
    let mut parser = Parser {
        tokens,
        next: 0,
        end: text.len(),
        variables: vec!["$".to_owned()],
        named: HashMap::new(),
        regexes: HashMap::new(),
        ranges: 0,
        depth: 0,
    };
    let (main, end) = parser.list(false).map_err(fail)?;
    debug_assert!(matches!(end, Ending::Text), "a list that may not end before the text does not");
    Ok(Tree { main, named: parser.named, regexes: parser.regexes })
}

type Failure = (usize, String);

/// What ended a list.
enum Ending {
    Text,
    Closed,
    /// `{{else}}`, or `{{else if` / `{{else with` with the word still to be read.
    Else(Option<&'static str>),
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    end: usize,
    /// Those in scope, by name.
    variables: Vec<String>,
    named: HashMap<String, Vec<Node>>,
    regexes: HashMap<String, regex::Regex>,
    /// Ranges around this place: `break` needs one.
    ranges: usize,
    depth: usize,
}

impl Parser {
    fn position(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |token| token.position)
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn take(&mut self) -> Option<Kind> {
        let kind = self.peek().cloned();
        self.next += 1;
        kind
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Kind::Space) {
            self.next += 1;
        }
    }

    fn fail<T>(&self, why: impl Into<String>) -> Result<T, Failure> {
        Err((self.position(), why.into()))
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, Failure> {
        match self.peek() {
            None => self.fail("unexpected EOF"),
            Some(kind) => self.fail(format!("unexpected {} in {context}", describe(kind))),
        }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.depth >= NESTING_MAX {
            return self.fail("max expression depth exceeded");
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    /// Nodes up to an `{{end}}` or `{{else}}`, or up to the end of the text.
    fn list(&mut self, inside: bool) -> Result<(Vec<Node>, Ending), Failure> {
        let mut nodes = Vec::new();
        loop {
            match self.take() {
                None if inside => return self.fail("unexpected EOF"),
                None => return Ok((nodes, Ending::Text)),
                Some(Kind::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => {
                    self.skip_space();
                    let word = match self.peek() {
                        Some(Kind::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match word.as_str() {
                        "end" | "else" if !inside => return self.fail(format!("unexpected {{{{{word}}}}}")),
                        "end" => {
                            self.next += 1;
                            self.close("end")?;
                            return Ok((nodes, Ending::Closed));
                        }
                        "else" => {
                            self.next += 1;
                            return Ok((nodes, self.after_else()?));
                        }
                        _ => nodes.extend(self.deeper(|parser| parser.action(&word))?),
                    }
                }
            }
        }
    }

    fn close(&mut self, context: &str) -> Result<(), Failure> {
        self.skip_space();
        if self.peek() == Some(&Kind::Close) {
            self.next += 1;
            return Ok(());
        }
        self.unexpected(context)
    }

    fn after_else(&mut self) -> Result<Ending, Failure> {
        self.skip_space();
        for word in ["if", "with"] {
            if matches!(self.peek(), Some(Kind::Word(w)) if w == word) {
                self.next += 1;
                return Ok(Ending::Else(Some(word)));
            }
        }
        self.close("else")?;
        Ok(Ending::Else(None))
    }

    /// What stands between `{{` and `}}`, and all up to its `{{end}}`.
    fn action(&mut self, word: &str) -> Result<Option<Node>, Failure> {
        let known = ["if", "with", "range", "template", "block", "define", "break", "continue"].contains(&word);
        if known {
            self.next += 1;
        }
        match word {
            "if" => self.branch("if").map(|branch| Some(Node::If(branch))),
            "with" => self.branch("with").map(|branch| Some(Node::With(branch))),
            "range" => self.branch("range").map(|branch| Some(Node::Range(branch))),
            "template" => self.template().map(Some),
            "block" => self.block().map(Some),
            "define" => self.define().map(|()| None),
            "break" | "continue" => {
                if self.ranges == 0 {
                    return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                self.close(&format!("{{{{{word}}}}}"))?;
                Ok(Some(if word == "break" { Node::Break } else { Node::Continue }))
            }
            _ => self.pipe("command", &Kind::Close).map(|pipe| Some(Node::Action(pipe))),
        }
    }

    fn branch(&mut self, word: &str) -> Result<Branch, Failure> {
        let scope = self.variables.len();
        let pipe = self.pipe(word, &Kind::Close)?;
        self.ranges += usize::from(word == "range");
        let body = self.list(true);
        self.ranges -= usize::from(word == "range");
        let (body, end) = body?;
        let otherwise = match end {
            Ending::Closed | Ending::Text => Vec::new(),
            Ending::Else(Some(chained)) if word == "range" || chained != word => {
                return self.fail(format!("unexpected <{chained}> in input"));
            }
            Ending::Else(Some(chained)) => {
                let branch = self.deeper(|parser| parser.branch(chained))?;
                vec![if chained == "if" { Node::If(branch) } else { Node::With(branch) }]
            }
            Ending::Else(None) => match self.list(true)? {
                (nodes, Ending::Closed) => nodes,
                _ => return self.fail("expected end; found {{else}}"),
            },
        };
        self.variables.truncate(scope);
        Ok(Branch { pipe, body, otherwise })
    }

    fn name(&mut self, context: &str) -> Result<String, Failure> {
        self.skip_space();
        match self.peek() {
            Some(Kind::Quoted(name)) => {
                let name = name.clone();
                self.next += 1;
                self.skip_space();
                Ok(name)
            }
            _ => self.unexpected(context),
        }
    }

    fn template(&mut self) -> Result<Node, Failure> {
        self.skip_space();
        let position = self.position();
        let name = self.name("template clause")?;
        let pipe = if self.peek() == Some(&Kind::Close) {
            self.next += 1;
            None
        } else {
            Some(self.pipe("template clause", &Kind::Close)?)
        };
        Ok(Node::Template { position, name, pipe })
    }

    fn define(&mut self) -> Result<(), Failure> {
        if self.depth > 1 {
            return self.fail("unexpected {{define}}");
        }
        let name = self.name("define clause")?;
        self.close("define clause")?;
        self.named_body(name)
    }

    fn block(&mut self) -> Result<Node, Failure> {
        self.skip_space();
        let position = self.position();
        let name = self.name("block clause")?;
        let pipe = self.pipe("block clause", &Kind::Close)?;
        self.named_body(name.clone())?;
        Ok(Node::Template { position, name, pipe: Some(pipe) })
    }

    /// The body of a named template, which sees none of the variables around it.
    fn named_body(&mut self, name: String) -> Result<(), Failure> {
        let outside = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let body = self.list(true);
        self.variables = outside;
        self.ranges = ranges;
        match body? {
            (nodes, Ending::Closed) => {
                self.named.insert(name, nodes);
                Ok(())
            }
            _ => self.fail("unexpected {{else}} in define clause"),
        }
    }

    /// Commands up to the closing token, which is taken.
    fn pipe(&mut self, context: &str, closing: &Kind) -> Result<Pipe, Failure> {
        self.skip_space();
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            self.skip_space();
            let command = self.command(context, closing)?;
            if command.operands.is_empty() {
                return match self.peek() {
                    Some(kind) if kind == closing && commands.is_empty() => {
                        self.fail(format!("missing value for {context}"))
                    }
                    _ => self.unexpected(context),
                };
            }
            check_stage(&command, !commands.is_empty()).map_err(|why| (self.position(), why))?;
            commands.push(command);
            match self.take() {
                Some(Kind::Pipe) => {}
                Some(kind) if kind == *closing => break,
                _ => {
                    self.next -= 1;
                    return self.unexpected(context);
                }
            }
        }
        // A declared variable is not seen by the commands that make it.
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe { variables, assigns, commands })
    }

    /// `$x :=`, `$i, $x :=` or `$x =`, if the pipe begins so.
    fn declarations(&mut self, context: &str) -> Result<(Vec<String>, bool), Failure> {
        let start = self.next;
        let mut names = Vec::new();
        while let Some(Kind::Variable(name)) = self.peek() {
            names.push(name.clone());
            self.next += 1;
            self.skip_space();
            match self.peek() {
                Some(Kind::Declare) => {
                    self.next += 1;
                    return Ok((names, false));
                }
                Some(Kind::Assign) => {
                    if let Some(name) = names.iter().find(|name| !self.variables.contains(name)) {
                        return self.fail(format!("undefined variable {}", model::quote(name)));
                    }
                    self.next += 1;
                    return Ok((names, true));
                }
                Some(Kind::Comma) if context == "range" && names.len() < 2 => {
                    self.next += 1;
                    self.skip_space();
                }
                Some(Kind::Comma) => return self.fail(format!("too many declarations in {context}")),
                _ => break,
            }
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self, context: &str, closing: &Kind) -> Result<Command, Failure> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => return self.fail("unclosed action"),
                Some(Kind::Pipe) => break,
                Some(kind) if kind == closing => break,
                Some(_) => operands.push(self.operand(context)?),
            }
            match self.peek() {
                Some(Kind::Space | Kind::Pipe | Kind::Close | Kind::RightParen) | None => {}
                _ => return self.unexpected("operand"),
            }
        }
        self.prepare_regex(&operands);
        Ok(Command { operands })
    }

    /// Compiles an expression that is written out. One that is wrong fails when it is used, as in Go.
    fn prepare_regex(&mut self, operands: &[Operand]) {
        if let [
            Operand { kind: OperandKind::Function(function), .. },
            Operand { kind: OperandKind::Text(pattern), .. },
            ..,
        ] = operands
            && functions::takes_regex(function.name)
            && let Ok(regex) = crate::regexp::compile(pattern)
        {
            self.regexes.insert(pattern.clone(), regex);
        }
    }

    fn operand(&mut self, context: &str) -> Result<Operand, Failure> {
        let position = self.position();
        let kind = match self.take() {
            Some(Kind::Word(word)) => match word.as_str() {
                "true" | "false" => OperandKind::Bool(word == "true"),
                "nil" => OperandKind::Nil,
                _ => match functions::find(&word) {
                    Some(function) => OperandKind::Function(function),
                    None => return Err((position, format!("function {} not defined", model::quote(&word)))),
                },
            },
            Some(Kind::Dot) => OperandKind::Dot,
            Some(Kind::Field(name)) => OperandKind::Field(self.fields(vec![name])),
            Some(Kind::Variable(name)) if self.variables.contains(&name) => {
                OperandKind::Variable(name, self.fields(Vec::new()))
            }
            Some(Kind::Variable(name)) => {
                return Err((position, format!("undefined variable {}", model::quote(&name))));
            }
            Some(Kind::Number(written, number)) => OperandKind::Number(written, number),
            Some(Kind::Quoted(text)) => OperandKind::Text(text),
            Some(Kind::LeftParen) => {
                let pipe = self.deeper(|parser| parser.pipe("parenthesized pipeline", &Kind::RightParen))?;
                OperandKind::Pipe(Box::new(pipe), self.fields(Vec::new()))
            }
            _ => {
                self.next -= 1;
                return self.unexpected(context);
            }
        };
        let kind = match (self.peek(), kind) {
            (Some(Kind::Field(_)), kind @ OperandKind::Function(_)) => {
                let commands = vec![Command { operands: vec![Operand { position, kind }] }];
                let pipe = Pipe { variables: Vec::new(), assigns: false, commands };
                OperandKind::Pipe(Box::new(pipe), self.fields(Vec::new()))
            }
            (Some(Kind::Field(_)), kind) => {
                let operand = Operand { position, kind };
                return self.fail(format!("unexpected . after term {}", model::quote(&operand.to_string())));
            }
            (_, kind) => kind,
        };
        Ok(Operand { position, kind })
    }

    /// `.a.b` directly behind an operand.
    fn fields(&mut self, mut names: Vec<String>) -> Vec<String> {
        while let Some(Kind::Field(name)) = self.peek() {
            names.push(name.clone());
            self.next += 1;
        }
        names
    }
}

/// Only functions and fields can take what a pipe hands on.
fn check_stage(command: &Command, is_later: bool) -> Result<(), String> {
    let Some(first) = command.operands.first() else { return Ok(()) };
    let constant = matches!(
        first.kind,
        OperandKind::Bool(_) | OperandKind::Dot | OperandKind::Nil | OperandKind::Number(..) | OperandKind::Text(_)
    );
    if is_later && constant {
        return Err("non executable command in pipeline stage 2".to_owned());
    }
    Ok(())
}

/// A token as Go's parser shows it.
fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Text(text) => model::quote(text),
        Kind::Open => "\"{{\"".to_owned(),
        Kind::Close => "\"}}\"".to_owned(),
        Kind::Space => "\" \"".to_owned(),
        Kind::Word(word) => format!("<{word}>"),
        Kind::Field(name) => format!("<.{name}>"),
        Kind::Variable(name) => model::quote(name),
        Kind::Dot => "<.>".to_owned(),
        Kind::Pipe => "\"|\"".to_owned(),
        Kind::Comma => "\",\"".to_owned(),
        Kind::Declare => "\":=\"".to_owned(),
        Kind::Assign => "\"=\"".to_owned(),
        Kind::LeftParen => "\"(\"".to_owned(),
        Kind::RightParen => "\")\"".to_owned(),
        Kind::Quoted(text) => model::quote(&model::quote(text)),
        Kind::Number(written, _) => model::quote(written),
    }
}
