//! A curve keeps its beginning and its bounds.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn case(campaign: u32, keys: u32) -> CaseReport {
    CaseReport { campaign, keys, ..CaseReport::default() }
}

#[test]
fn a_curve_keeps_its_beginning_and_never_more_than_its_points() {
    let mut g = Growth::default();
    for hour in 0..10_000u32 {
        g.look(1_000 + hour * 3_600, &[case(7, hour)]);
        assert!(g.0[&7].points.len() <= POINTS);
    }
    let now_s = 1_000 + 9_999 * 3_600;
    let (points, grown) = g.of(now_s, 7, 9_999);
    assert_eq!((points[0].at_s, points[0].keys), (1_000, 0));
    assert!(points.len() > POINTS / 3 && points.windows(2).all(|w| w[0].at_s < w[1].at_s), "{points:?}");
    assert!(grown[1].unwrap() >= 24, "{grown:?}");
}

#[test]
fn growth_is_told_only_for_as_long_as_the_hub_has_looked() {
    let mut g = Growth::default();
    g.look(100, &[case(1, 30)]);
    assert_eq!(g.of(3_699, 1, 40).1, [None, None]);
    assert_eq!(g.of(3_700, 1, 40).1, [Some(10), None]);
    assert_eq!(g.of(100 + 86_400, 1, 25).1, [Some(-5), Some(-5)]);
    assert_eq!(g.of(100, 2, 1), (&[][..], [None, None]));
}

#[test]
fn cases_that_have_ended_are_forgotten_and_there_are_never_more_than_so_many() {
    let mut g = Growth::default();
    let all: Vec<CaseReport> = (1..=CASES as u32 + 40).map(|n| case(n, n)).collect();
    g.look(1, &all);
    assert_eq!(g.0.len(), CASES);
    g.look(2, &all[..3]);
    assert!(g.0.len() <= 3);
}
