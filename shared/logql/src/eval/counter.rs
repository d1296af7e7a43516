//! What needs every sample of a window: quantiles and counter rates.

/// The φ-quantile with linear interpolation between ranks; NaN counts as smaller than any number.
pub(super) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = phi * (values.len() - 1) as f64;
    let lower = rank.floor();
    let weight = rank - lower;
    let lower = lower as usize;
    let upper = (lower + 1).min(values.len() - 1);
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// The per-second increase of a counter over a window, resets undone, extrapolated towards the window's edges as
/// Prometheus does. Fewer than two samples give 0, where Prometheus gives nothing.
pub(super) fn rate(samples: &[(i64, f64)], window_start_ns: i64, window_end_ns: i64) -> f64 {
    let [first, .., last] = samples else { return 0.0 };
    let mut increase = last.1 - first.1;
    for pair in samples.windows(2) {
        if pair[1].1 < pair[0].1 {
            increase += pair[0].1;
        }
    }
    let seconds = |from: i64, to: i64| to.saturating_sub(from) as f64 / 1e9;
    let sampled = seconds(first.0, last.0);
    let average = sampled / (samples.len() - 1) as f64;
    let extend = |distance: f64| if distance < average * 1.1 { distance } else { average / 2.0 };
    let mut to_start = extend(seconds(window_start_ns, first.0));
    if increase > 0.0 && first.1 >= 0.0 {
        // A counter starts at zero: never extrapolate to before that.
        to_start = to_start.min(sampled * (first.1 / increase));
    }
    let extrapolated = sampled + to_start + extend(seconds(last.0, window_end_ns));
    increase * (extrapolated / sampled) / seconds(window_start_ns, window_end_ns)
}
