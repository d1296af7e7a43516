//! Any text parses or is refused; what parses is printed, in one line and pretty, to text that parses to the same tree.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logql::ast::Expr;
use logql::{parse, parse_selector, pretty};

fuzz_target!(|input: &[u8]| {
    let text = match fuzz::choices(input) {
        Some(mut u) => {
            let metric = u.arbitrary().unwrap_or_default();
            if metric { fuzz::query::metric(&mut u) } else { fuzz::query::log(&mut u) }.unwrap_or_default()
        }
        None => String::from_utf8_lossy(input).into_owned(),
    };
    let _ = parse_selector(&text);
    let Ok(expr) = parse(&text) else { return };
    for printed in [expr.to_string(), pretty(&expr)] {
        match parse(&printed) {
            Ok(again) => assert!(same(&again, &expr), "{text}\nprints as\n{printed}\nwhich prints as\n{again}"),
            Err(error) => panic!("{text}\nprints as\n{printed}\nwhich is refused: {error}"),
        }
    }
});

/// The same tree; a NaN is like another here.
fn same(left: &Expr, right: &Expr) -> bool {
    left == right || format!("{left:?}") == format!("{right:?}")
}
