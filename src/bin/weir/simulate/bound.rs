//! Upper limit of a share from few observed cases: Clopper and Pearson (1934).

/// The largest share at which `k` or fewer of `n` would still be seen once in twenty times (one-sided 95 %);
/// 3/n if `k` is 0. Exact but for rounding. It assumes that keys are blocked independently. Keys of one run
/// are not (a class is blocked together), so it is a limit for runs like these. Cost: 50 sums of `k` terms.
pub fn upper(k: u64, n: u64) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut lo, mut hi) = (k as f64 / n as f64, 1.0);
    for _ in 0..50 {
        let p = (lo + hi) / 2.0;
        if at_most(k, n, p) > 0.05 { lo = p } else { hi = p }
    }
    hi
}

/// P(X <= k), X binomial(n, p): terms by their logarithms, each from the one before.
fn at_most(k: u64, n: u64, p: f64) -> f64 {
    let odds = (p / (1.0 - p)).ln();
    let mut term = n as f64 * (1.0 - p).ln();
    let mut sum = term.exp();
    for i in 1..=k {
        term += ((n - i + 1) as f64 / i as f64).ln() + odds;
        sum += term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_rule_of_three_and_the_tables() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 2e-4 * b.max(0.1), "{a} {b}");
        near(upper(0, 1000), 1.0 - 0.05f64.powf(1e-3));
        near(upper(0, 100) * 100.0, 2.9513);
        near(upper(1, 10), 0.3942);
        near(upper(5, 10), 0.7776);
        near(upper(10, 1000), 0.016_895);
        assert!((upper(0, 1_000_000) * 1e6 - 3.0).abs() < 0.01);
        assert_eq!(upper(7, 7), 1.0);
        assert_eq!(upper(0, 0), 1.0);
    }
}
