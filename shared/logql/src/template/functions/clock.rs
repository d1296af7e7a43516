//! Functions over the entry's line and over time.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{Scope, text_at};
use crate::template::layout;
use crate::template::time::{Time, from_epoch};
use crate::template::value::Value;

type Result<'r> = std::result::Result<Value<'r>, String>;

pub(super) fn line<'r>(scope: &mut Scope<'r>, _: &[Value<'r>]) -> Result<'r> {
    Ok(Value::text(scope.context.line()))
}

fn moment(nanos: i64) -> Time {
    Time::utc(Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default())
}

pub(super) fn timestamp<'r>(scope: &mut Scope<'r>, _: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Time(moment(scope.context.timestamp_ns())))
}

pub(super) fn now<'r>(scope: &mut Scope<'r>, _: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Time(moment(scope.context.now_ns())))
}

/// The time at a place; the signature has made sure that it is one.
fn time_at<'v>(a: &'v [Value<'_>], at: usize) -> std::borrow::Cow<'v, Time> {
    match a.get(at) {
        Some(Value::Time(time)) => std::borrow::Cow::Borrowed(time),
        _ => std::borrow::Cow::Owned(Time::zero()),
    }
}

pub(super) fn epoch<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::text(time_at(a, 0).unix().to_string()))
}

pub(super) fn epoch_millis<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::text(time_at(a, 0).unix_milli().to_string()))
}

pub(super) fn epoch_nanos<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::text(time_at(a, 0).unix_nano().to_string()))
}

pub(super) fn unix_to_time<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    from_epoch(text_at(a, 0)).map(Value::Time)
}

/// `date layout time`; a whole number counts as seconds, anything else as now.
pub(super) fn date<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let time = match a.get(1) {
        Some(Value::Time(time)) => time.clone(),
        Some(Value::Int(seconds)) => {
            Time::from_nanos(i128::from(*seconds) * 1_000_000_000).ok_or("time is out of range")?
        }
        _ => moment(scope.context.now_ns()),
    };
    let text = layout::format(&time, text_at(a, 0));
    scope.claim(text.len())?;
    Ok(Value::text(text))
}

/// `toDate layout text`; what does not fit gives the zero time.
pub(super) fn to_date<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let time = layout::parse(text_at(a, 0), text_at(a, 1), &TimeZone::UTC);
    Ok(Value::Time(time.unwrap_or_else(Time::zero)))
}

/// `toDateInZone layout zone text`; an unknown zone gives the zero time too. Zones are those compiled in, so that every
/// machine answers the same.
pub(super) fn to_date_in_zone<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let zone = match text_at(a, 1) {
        "" | "UTC" | "Local" => Some(TimeZone::UTC),
        name => TimeZoneDatabase::bundled().get(name).ok(),
    };
    let time = zone.and_then(|zone| layout::parse(text_at(a, 0), text_at(a, 2), &zone));
    Ok(Value::Time(time.unwrap_or_else(Time::zero)))
}
