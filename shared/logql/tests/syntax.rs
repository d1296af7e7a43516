//! Queries in, canonical text or Loki's error out.

use std::error::Error;
use std::path::Path;

use goldenscript::{Command, Context, Runner};
use test_each_file::test_each_path;

test_each_path! { for ["script"] in "shared/logql/tests/scripts/parse" as parse => parse_script }

fn parse_script([path]: [&Path; 1]) {
    goldenscript::run(&mut Parse, path).expect("the script runs");
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
    for query in include_str!("recorded.txt").lines().filter(|line| !line.starts_with("# ")) {
        let expr = logql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        for printed in [expr.to_string(), logql::pretty(&expr)] {
            assert_eq!(logql::parse(&printed).as_ref(), Ok(&expr), "{query} printed as {printed}");
        }
    }
}
