//! Queries in, canonical text or Loki's error out.

use std::error::Error;
use std::path::Path;

use goldenscript::{Command, Context, Runner};
use test_each_file::test_each_path;

test_each_path! { for ["script"] in "shared/logql/tests/scripts/parse" as parse => parse_script }

fn parse_script([path]: [&Path; 1]) {
    goldenscript::run(&mut Parse, path).expect("the script runs");
}

test_each_path! { for ["script"] in "shared/logql/tests/scripts/print" as print => print_script }

fn print_script([path]: [&Path; 1]) {
    goldenscript::run(&mut Pretty, path).expect("the script runs");
}

/// A command is a query; its output is the pretty text, which means the same.
struct Pretty;

impl Runner for Pretty {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let expr = logql::parse(&command.name)?;
        let pretty = logql::pretty(&expr);
        assert_eq!(logql::parse(&pretty).as_ref(), Ok(&expr));
        Ok(pretty)
    }
}

/// A command is a query; its output is the canonical text.
struct Parse;

impl Runner for Parse {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        let query = command.name.as_str();
        let expr = match logql::parse(query) {
            Ok(expr) => expr,
            Err(error) => return Ok(error.to_string()),
        };
        let printed = expr.to_string();
        // As text, for not a number is not itself.
        assert_eq!(format!("{:?}", logql::parse(&printed)), format!("Ok({expr:?})"), "printed as {printed}");
        Ok(if printed == query { "same".to_owned() } else { printed })
    }
}

/// Queries that Loki answered parse, and printing them in either form keeps their meaning.
#[test]
fn recorded_queries() {
    for query in include_str!("recorded.txt").lines().filter(|line| is_query(line)) {
        let expr = logql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        for printed in [expr.to_string(), logql::pretty(&expr)] {
            assert_eq!(logql::parse(&printed).as_ref(), Ok(&expr), "{query} printed as {printed}");
        }
    }
}

/// Queries that Loki refused are refused with its words.
#[test]
fn refused_queries() {
    for line in include_str!("refused.txt").lines().filter(|line| is_query(line)) {
        let (query, want) = line.split_once('\t').expect("query, tab, text");
        assert_eq!(logql::parse(query).expect_err(query).to_string(), want, "{query}");
    }
}

/// Neither a comment nor, until templates can do more than name labels, one with a template.
fn is_query(line: &str) -> bool {
    !line.starts_with("# ") && !line.contains("{{")
}

/// What Loki's format_query answered.
#[test]
fn formatted_queries() {
    for (query, want) in [
        ("{ job=\"nginx\"}|=\"a\"|json|x=\"y\"", "{job=\"nginx\"} |= \"a\" | json | x=\"y\""),
        ("sum( rate({job=\"a\"}[5m] ) )by(b)", "sum by (b)(rate({job=\"a\"}[5m]))"),
        (
            "{job=\"a\"} | logfmt | duration>1s and (a=\"b\" or c!=\"d\")",
            "{job=\"a\"} | logfmt | ( duration>1s , ( a=\"b\" or c!=\"d\" ) )",
        ),
        (
            "quantile_over_time(0.99,{a=\"b\"}|json|unwrap duration(x)[1m])by(c)",
            "quantile_over_time(0.99,{a=\"b\"} | json | unwrap duration(x)[1m]) by (c)",
        ),
    ] {
        assert_eq!(logql::parse(query).map(|expr| logql::pretty(&expr)).as_deref(), Ok(want), "{query}");
    }
}

/// Selectors alone may match every stream.
#[test]
fn selectors() {
    for (query, want) in [
        ("{}", Ok("")),
        ("{a=\"b\", c=~\".*\"}", Ok("a=\"b\" c=~\".*\"")),
        ("{a=\"b\"} |= \"x\"", Err("only label matchers are supported")),
        ("rate({a=\"b\"}[5m])", Err("only label matchers are supported")),
        ("{", Err("parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }")),
        ("{a=~\"(\"}", Err("parse error : error parsing regexp: missing closing ): `(`")),
    ] {
        let found = logql::parse_selector(query);
        let found = found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(found.map_err(|error| error.to_string()), want.map(str::to_owned).map_err(str::to_owned), "{query}");
    }
}

/// Positions count lines and characters from 1.
#[test]
fn positions() {
    for (query, want) in [
        ("{a=\"b\"}\n| json\n  | =", "parse error at line 3, col 5: syntax error: unexpected ="),
        ("{ü=\"é\"} }", "parse error at line 1, col 9: syntax error: unexpected }"),
        ("{a=\"b\" # comment\n", "parse error at line 2, col 1: syntax error: unexpected $end, expecting } or ,"),
        ("{a=\"b\"} /* open", "parse error at line 1, col 9: comment not terminated"),
        ("{a=\"b\n\"}", "parse error at line 1, col 4: literal not terminated"),
    ] {
        assert_eq!(logql::parse(query).map_err(|error| error.to_string()), Err(want.to_owned()), "{query}");
    }
}
