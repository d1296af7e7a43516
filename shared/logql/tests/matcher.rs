//! Matchers and selectors hold what their expressions say, with and without an engine.

use logql::ast::{MatchOp, Matcher};
use logql::matcher::{CompiledMatcher, Selector};
use logql::parse_selector;
use model::Labels;
use proptest::prelude::*;

fn matcher(op: MatchOp, value: &str) -> CompiledMatcher {
    let matcher = Matcher { name: "x".into(), op, value: value.into() };
    CompiledMatcher::new(&matcher).unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[test]
fn selectors_look_at_all_labels() {
    let labels = Labels::from_pairs([("job", "nginx"), ("host", "web-1")]);
    for (selector, want) in [
        (r#"{job="nginx"}"#, true),
        (r#"{job="ngin"}"#, false),
        (r#"{job!="nginx"}"#, false),
        (r#"{job=~"ng.*", host=~"web-[0-9]"}"#, true),
        (r#"{job=~"ng", host=~"web-[0-9]"}"#, false),
        (r#"{job=~"a|nginx|b"}"#, true),
        (r#"{job!~"a|nginx|b"}"#, false),
        (r#"{job=~"NGINX"}"#, false),
        (r#"{job=~"(?i)NGINX"}"#, true),
        // An absent label is empty.
        (r#"{env=""}"#, true),
        (r#"{env=~".*"}"#, true),
        (r#"{env=~".+"}"#, false),
        (r#"{env!="prod"}"#, true),
        (r#"{env=~"|prod"}"#, true),
        ("{}", true),
    ] {
        let matchers = parse_selector(selector).expect(selector);
        assert_eq!(Selector::new(&matchers).expect(selector).matches(&labels), want, "{selector}");
    }
}

#[test]
fn lists_of_literals_can_be_looked_up() {
    for (op, value, want) in [
        (MatchOp::Equal, "a.b", Some(vec!["a.b"])),
        (MatchOp::Regex, "a|b", Some(vec!["a", "b"])),
        (MatchOp::Regex, "a", Some(vec!["a"])),
        (MatchOp::Regex, "a.*", None),
        (MatchOp::Regex, "a|b+", None),
        (MatchOp::NotEqual, "a", None),
        (MatchOp::NotRegex, "a|b", None),
    ] {
        let found = matcher(op, value);
        let found = found.values().map(|values| values.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found, want, "{value}");
    }
}

proptest! {
    /// The shortcuts agree with the engine.
    #[test]
    fn shortcuts_change_nothing(pattern in r"(\.\*|\.\+)?[ab|.]{0,4}(\.\*|\.\+)?", value in "[ab.\n]{0,5}") {
        let engine = regex::Regex::new(&format!("^(?s:{pattern})$")).expect("a valid pattern");
        prop_assert_eq!(matcher(MatchOp::Regex, &pattern).matches(&value), engine.is_match(&value), "{}", pattern);
        prop_assert_eq!(matcher(MatchOp::NotRegex, &pattern).matches(&value), !engine.is_match(&value), "{}", pattern);
    }
}
