//! What goes in comes out, a text is found where a plain search finds it, and bytes from outside do no harm.

use proptest::prelude::*;

use super::Templated;
use super::mine::encode_always;

/// Lines as programs write them, and as nobody does.
fn line() -> impl Strategy<Value = String> {
    let time = prop_oneof![
        Just("2024-01-01T00:00:01.5Z"),
        Just("2024-01-01T00:00:01Z"),
        Just("2023-12-31T23:59:59.123456789Z"),
        Just("2024-13-01T00:00:01Z"),
    ];
    prop_oneof![
        4 => (time, "[a-c]{0,3}", 0u32..300).prop_map(|(time, word, n)| format!(r#"{{"ts":"{time}","msg":"{word}","n":{n}}}"#)),
        4 => ("(info|warn)", "[0-9a-f]{16}", "[ab]{1,2}").prop_map(|(level, id, path)| format!("level={level} id={id} path=\"/{path}\"")),
        2 => ("[0-9]{1,3}", "[a-b]").prop_map(|(n, word)| format!("10.0.0.{n} [01/Jan/2024:00:00:0{} +0000] {word}{word}", n.len())),
        1 => "[\"=:,a1é ]{0,12}",
        1 => "\\PC{0,60}",
        1 => Just("x".repeat(5000)),
    ]
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(line(), 1..60)
}

/// The raw column of some lines, a second from one to the next, and their times.
fn encode(lines: &[String]) -> (Vec<u8>, Vec<i64>) {
    let lengths: Vec<u32> = lines.iter().map(|line| line.len() as u32).collect();
    let times: Vec<i64> = (0..lines.len() as i64).map(|row| 1_704_067_200_500_000_000 + row * 1_000_000_000).collect();
    let parts = encode_always(&lines.concat(), &lengths, &times).expect("within limits");
    (parts.all().concat(), times)
}

fn spelled(templated: &Templated) -> String {
    let mut text = "what was there before".to_owned();
    templated.spell_into(&mut text).expect("lines");
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn lines_round_trip(lines in lines()) {
        let (raw, times) = encode(&lines);
        let templated = Templated::open(raw, &times).expect("what was written");
        prop_assert_eq!(spelled(&templated), lines.concat());
    }

    /// A needle is cut out of a line, or made up.
    #[test]
    fn texts_are_found_where_they_are(
        lines in lines(),
        row: prop::sample::Index,
        start: prop::sample::Index,
        length in 0usize..20,
        made_up in prop_oneof!["[a-c\"=:0-9]{1,4}", "\\PC{1,3}"],
    ) {
        let (raw, times) = encode(&lines);
        let templated = Templated::open(raw, &times).expect("what was written");
        let line = lines[row.index(lines.len())].as_bytes();
        let start = start.index(line.len() + 1);
        let cut = &line[start..(start + length).min(line.len())];
        for needle in [cut, made_up.as_bytes(), line] {
            let want: Vec<bool> = lines.iter().map(|line| memchr::memmem::find(line.as_bytes(), needle).is_some()).collect();
            prop_assert_eq!(templated.rows_holding(needle).expect("lines"), want, "{:?}", String::from_utf8_lossy(needle));
        }
    }

    #[test]
    fn changed_bytes_never_panic(lines in lines(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (mut raw, times) = encode(&lines);
        for (index, value) in changes {
            let index = index.index(raw.len());
            raw[index] = value;
        }
        if let Ok(templated) = Templated::open(raw, &times) {
            let _ = templated.spell_into(&mut String::new());
            let _ = templated.rows_holding(b"a");
            let _ = templated.rows_holding(b"2024");
        }
    }

    #[test]
    fn made_up_bytes_never_panic(raw: Vec<u8>, rows in 0usize..300) {
        if let Ok(templated) = Templated::open(raw, &vec![0; rows]) {
            let _ = templated.spell_into(&mut String::new());
            let _ = templated.rows_holding(b"a");
        }
    }
}
