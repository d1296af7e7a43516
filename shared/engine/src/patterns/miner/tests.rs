//! What lines make of patterns; and that `|>` finds each line by the pattern that counted it.

use logql::ast::{Expr, Stage};
use logql::pipeline::LineFilter;
use proptest::prelude::*;

use super::*;

const STEP_NS: i64 = 10;

/// Mines lines, ten to a step, in blocks of `block` lines that are merged.
fn mine(lines: &[String], block: usize) -> Miner {
    let mut all = Miner::new(STEP_NS);
    for (number, part) in lines.chunks(block).enumerate() {
        let mut miner = Miner::new(STEP_NS);
        let mut tokens = Vec::new();
        for (i, line) in part.iter().enumerate() {
            miner.add("info", (number * block + i) as i64, line, &mut tokens);
        }
        all.merge(miner);
    }
    all
}

#[test]
fn lines_make_patterns() {
    let check = |lines: &[&str], want: &[(&str, u64)]| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for block in [1, 2, 100] {
            let patterns = mine(&lines, block).finish();
            let got: Vec<(&str, u64)> = patterns.iter().map(|p| (p.text.as_str(), p.lines())).collect();
            assert_eq!(got, want, "{block} a block");
        }
    };
    check(&["user alice logged in", "user bob logged in"], &[("user <_> logged in", 2)]);
    check(&["starting", "stopping", "starting"], &[("starting", 2), ("stopping", 1)]);
    check(&["took 15ms", "took 7ms", "took 7ms"], &[("took <_>", 3)]);
    check(&["a b c", "a b  c"], &[("a b  c", 1), ("a b c", 1)]);
    check(&["user=alice id=7", "user=bob id=8"], &[("user=<_> id=<_>", 2)]);
    check(
        &[
            r#"level=info msg="cache flushed" by=a"#,
            r#"level=info msg="user left" by=b"#,
            r#"level=info msg="user left" by=c"#,
        ],
        &[(r#"level=info msg="user left" by=<_>"#, 2), (r#"level=info msg="cache flushed" by=a"#, 1)],
    );
    check(&["user=alice", "host=alice"], &[("host=alice", 1), ("user=alice", 1)]);
    check(
        &[r#"10.0.0.1 - - "GET /a HTTP/1.1" 200"#, r#"10.0.0.9 - - "GET /b HTTP/1.1" 404"#],
        &[(r#"<_> - - "GET <_> HTTP/1.1" <_>"#, 2)],
    );
    check(&[r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":"x"}"#], &[(r#"{"a":<_>,"b":"x"}"#, 2)]);
    check(&["saw <b>x</b>", "saw <i>y</i>"], &[("saw <_>", 2)]);
    check(&["", "  "], &[("  ", 1)]);
    check(&[], &[]);
}

#[test]
fn levels_and_steps_are_apart() {
    let mut miner = Miner::new(STEP_NS);
    for (level, time) in [("info", 9), ("info", 10), ("error", 11), ("info", 19), ("info", -1)] {
        miner.add(level, time, "x 1", &mut Vec::new());
    }
    let patterns = miner.finish();
    let got: Vec<_> = patterns.iter().map(|p| (p.level.as_str(), p.samples.as_slice())).collect();
    assert_eq!(got, [("info", [(-10, 1), (0, 1), (10, 2)].as_slice()), ("error", &[(10, 1)])]);
}

#[test]
fn the_rarest_patterns_go_when_there_are_too_many() {
    let mut miner = Miner::new(STEP_NS);
    // Words without digits: each is a pattern of its own.
    let word = |i: usize| i.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect::<String>();
    let words: Vec<String> = (0..=CLUSTERS_MAX).map(word).collect();
    for (i, line) in words.iter().enumerate() {
        // The first few come often, so they stay.
        (0..if i < 10 { 3 } else { 1 }).for_each(|_| miner.add("info", 0, line, &mut Vec::new()));
    }
    assert!(miner.clusters.len() <= CLUSTERS_MAX);
    assert!(miner.forgotten() > 0);
    let forgotten = miner.forgotten();
    let patterns = miner.finish();
    assert_eq!(patterns.iter().map(Pattern::lines).sum::<u64>() + forgotten, CLUSTERS_MAX as u64 + 1 + 20);
    assert_eq!(patterns.iter().filter(|pattern| pattern.lines() == 3).count(), 10);
}

/// Text made of what is hard to tell apart: separators, what looks like captures, tokens that hold one another.
fn line() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "ab",
        "user",
        "7",
        "42",
        "é",
        ":",
        "::",
        "=",
        "==",
        " ",
        "  ",
        "\t",
        "\"",
        "\":",
        ",",
        "<",
        ">",
        "<_>",
        "<a>",
        "</a>",
        "_",
        "<_",
        "_>",
        "-",
        ".",
        "/",
        "{",
        "}",
        "\\",
        "\n",
        "\u{a0}",
        "a:",
        "x=1 ",
        "a b ",
        "user alice ",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..10).prop_map(|pieces| pieces.concat())
}

/// The filter that a user writes with a pattern.
fn filter(pattern: &str) -> LineFilter {
    let query = format!("{{a=\"b\"}} |> {}", model::quote(pattern));
    let Ok(Expr::Log(log)) = logql::parse(&query) else { panic!("no query: {query}") };
    match log.pipeline.as_slice() {
        [Stage::LineFilter(filter)] => LineFilter::new(filter).expect("a filter"),
        stages => panic!("{stages:?}"),
    }
}

proptest! {
    #[test]
    fn each_line_is_counted_once_and_found_by_its_pattern(
        lines in prop::collection::vec(line(), 1..24),
        block in 1usize..8,
    ) {
        let miner = mine(&lines, block);
        // By which pattern each line was counted shows when it is added once more.
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let mut again = mine(&lines, block);
            let before: Vec<u64> = again.clusters.iter().map(|cluster| cluster.lines).collect();
            again.add("info", 0, line, &mut Vec::new());
            let place = again.clusters.iter().zip(before).position(|(after, before)| after.lines != before);
            let text = again.clusters[place.expect("a pattern that knows the line")].text();
            prop_assert!(filter(&text).matches(line), "{text:?} does not find {line:?}");
        }
        let patterns = miner.finish();
        let counted: u64 = patterns.iter().map(Pattern::lines).sum();
        prop_assert_eq!(counted, lines.iter().filter(|line| !line.is_empty()).count() as u64);
        // A pattern finds at least the lines that it counted.
        for pattern in &patterns {
            let filter = filter(&pattern.text);
            let found = lines.iter().filter(|line| !line.is_empty() && filter.matches(line)).count() as u64;
            prop_assert!(found >= pattern.lines(), "{:?} finds {found} of {}", pattern.text, pattern.lines());
        }
    }
}
