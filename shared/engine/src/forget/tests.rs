//! What is forgotten of single entries, by rules and requests.

use std::sync::Arc;
use std::time::Duration;

use model::{EntryRef, Labels};
use store::{DeleteRequest, Marks};

use super::{Deletes, Forget, ForgetSettings, Rules, StreamPeriod};

const MINUTE: i64 = 60_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);
/// Some minute.
const NOW: i64 = 1_795_168_800_000_000_000;

fn settings(period_days: u32, rules: &[(&str, i64, u32)]) -> ForgetSettings {
    let rule = |(selector, priority, days): &(&str, i64, u32)| StreamPeriod {
        selector: (*selector).to_owned(),
        priority: *priority,
        period: DAY * *days,
    };
    ForgetSettings {
        retention_period: DAY * period_days,
        retention_streams: rules.iter().map(rule).collect(),
        deletes: Deletes::Delete { after: DAY },
    }
}

fn labels(text: &str) -> Labels {
    text.split(' ').filter_map(|pair| pair.split_once('=')).collect()
}

fn hides(forget: &Forget, stream: &str, level: &str, timestamp_ns: i64, line: &str) -> bool {
    let metadata = [("detected_level", level)];
    let metadata = if level.is_empty() { &[][..] } else { &metadata[..] };
    forget.of_stream(&labels(stream), &Marks::default()).hides(EntryRef { timestamp_ns, line, metadata })
}

#[test]
fn the_period_of_an_entry() {
    let rules = [
        ("{app=\"a\"}", 1, 3),
        ("{app=~\"a|b\"}", 1, 2),
        ("{app=\"a\", env=\"dev\"}", 9, 1),
        ("{detected_level=\"debug\"}", 5, 1),
        ("{app=\"keep\", detected_level!=\"info\"}", 7, 9),
    ];
    // The age in days at which an entry goes; 0 is never.
    let check = |period: u32, stream: &str, level: &str, want: u32| {
        let forget = Forget::new(Rules::new(&settings(period, &rules), NOW).expect("rules"), &[]).expect("no requests");
        for days in 1..12i64 {
            let edge = NOW - days * 1440 * MINUTE;
            let gone = want > 0 && days >= i64::from(want);
            assert_eq!(hides(&forget, stream, level, edge, ""), gone, "{stream} {level} {days}");
            assert_eq!(
                hides(&forget, stream, level, edge + 1, ""),
                want > 0 && days > i64::from(want),
                "{stream} {days}"
            );
        }
    };
    check(0, "app=c", "", 0);
    check(5, "app=c", "", 5);
    check(5, "app=c", "info", 5);
    check(0, "app=c", "debug", 1);
    check(5, "app=b", "", 2);
    // Of two rules with one priority the shorter period counts.
    check(5, "app=a", "", 2);
    check(5, "app=a env=dev", "", 1);
    check(5, "app=a", "debug", 1);
    check(5, "app=keep", "debug", 9);
    check(5, "app=keep", "", 9);
    check(5, "app=keep", "info", 5);
    // A label of the stream hides metadata of its name.
    check(5, "app=c detected_level=debug", "info", 1);
    check(5, "app=c detected_level=info", "debug", 5);
}

#[test]
fn horizons_are_whole_minutes_and_show_nothing_that_is_past() {
    for offset in [0, 1, MINUTE / 2, MINUTE - 1] {
        let now = NOW + offset;
        let rules = Rules::new(&settings(2, &[]), now).expect("rules");
        let oldest = rules.oldest_ns();
        assert_eq!((oldest - 1) % MINUTE, 0);
        let exact = now - 2 * 1440 * MINUTE;
        assert!(oldest > exact && oldest <= exact + MINUTE, "{offset}");
    }
}

#[test]
fn requests_are_final_when_they_cannot_be_cancelled_any_more() {
    let request = |query: &str, created| Arc::new(DeleteRequest::new(query, NOW - 10, NOW - 5, created));
    let day_ns = 1440 * MINUTE;
    let requests =
        [request("{app=\"a\"}", NOW - day_ns), request("{app=\"b\"} |= \"x\" | detected_level=\"info\"", NOW - 1)];
    let of = |deletes| {
        let settings = ForgetSettings { deletes, ..settings(0, &[]) };
        Forget::new(Rules::new(&settings, NOW).expect("rules"), &requests).expect("requests")
    };
    let forget = of(Deletes::Delete { after: DAY });
    let check = |forget: &Forget, stream: &str, level: &str, time: i64, line: &str, want: bool| {
        assert_eq!(hides(forget, stream, level, time, line), want, "{stream} {level} {time} {line}");
    };
    for time in [NOW - 11, NOW - 10, NOW - 5, NOW - 4] {
        let inside = (NOW - 10..=NOW - 5).contains(&time);
        check(&forget, "app=a", "", time, "", inside);
        check(&forget, "app=b", "info", time, "a x", inside);
        check(&forget, "app=b", "warn", time, "a x", false);
        check(&forget, "app=b", "info", time, "a", false);
    }
    check(&forget.for_good(), "app=a", "", NOW - 7, "", true);
    check(&forget.for_good(), "app=b", "info", NOW - 7, "x", false);
    let marks = forget.marks(NOW - 20, NOW - 10);
    assert_eq!(marks.iter().collect::<Vec<_>>(), [format!("delete-{}", requests[0].name())]);
    assert!(forget.marks(NOW - 4, NOW).is_empty());
    check(&of(Deletes::Hide), "app=a", "", NOW - 7, "", true);
    assert!(of(Deletes::Hide).marks(NOW - 20, NOW).is_empty(), "nothing is deleted for good");
    assert!(of(Deletes::Ignored).is_nothing());
}

#[test]
fn a_mark_changes_with_each_period_that_has_passed() {
    let forget = |rules: &[(&str, i64, u32)]| {
        Forget::new(Rules::new(&settings(5, rules), NOW).expect("rules"), &[]).expect("no requests")
    };
    let rules = [("{app=\"a\"}", 1, 3), ("{app=\"b\"}", 1, 1)];
    let mark = |forget: &Forget, days: i64| {
        let max_ts = NOW - days * 1440 * MINUTE;
        forget.marks(max_ts - 1, max_ts).iter().next().map(str::to_owned)
    };
    let (all, other) = (forget(&rules), forget(&rules[..1]));
    assert_eq!(mark(&all, 0), None);
    assert_eq!(mark(&all, 1), mark(&all, 2));
    assert_eq!(mark(&all, 3), mark(&all, 4));
    assert!(mark(&all, 1).is_some() && mark(&all, 1) != mark(&all, 3) && mark(&all, 3) != mark(&all, 5));
    assert_ne!(mark(&all, 3), mark(&other, 3), "other rules, another mark");
    assert!(!all.is_past(NOW - 4 * 1440 * MINUTE) && all.is_past(NOW - 5 * 1440 * MINUTE));
}

#[test]
fn selectors_of_rules_are_checked() {
    let check = super::check_retention_selector;
    assert!(check("{app=\"a\"}").is_ok() && check("{detected_level=\"debug\"}").is_ok());
    for bad in ["app", "{}", "{app=~\".*\"}", "{app=~\"(\"}", "{app=\"a\"} |= \"x\"", "rate({app=\"a\"}[1m])"] {
        assert!(check(bad).is_err(), "{bad}");
    }
}
