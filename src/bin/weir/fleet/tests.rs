use super::*;
use weir::engine::observation::Observation;
use weir::engine::value::KeyId;

fn config() -> Arc<Config> {
    let text = r#"{"keys": 4096, "campaign": {"groups": 128, "doorkeeper_bits": 12, "novelty_bits": 12}}"#;
    Arc::new(weir::engine::config::parse(text).unwrap())
}

const START: Nanos = Nanos::from_secs(1_800_000_000);

fn layout(nodes: u8) -> Layout {
    let (skew, delay) = (Nanos(0), Nanos(0));
    Layout { nodes, hub: true, quorum: 2, roaming: true, skew, delay, loss: 0.0, restarts: false, roll: None }
}

/// A request a second, each with another key; the last moment.
fn send(fleet: &mut Fleet, from: u64, n: u64) -> Nanos {
    let mut now = START;
    for i in from..from + n {
        now = START.plus(Nanos::from_secs(i));
        let mut x = Extracted { key: KeyId(hash::mix(i) | 1), ..Extracted::default() };
        x.values = (0..4).map(|v| hash::mix(i * 8 + v) >> 2).collect();
        x.obs = Observation {
            time: now,
            key: hash::mix(i) | 1,
            cost: 1,
            value_count: 4,
            ..Observation::default()
        };
        let _ = fleet.judge(now, &mut x);
    }
    now
}

fn told(fleet: &Fleet) -> (u64, u64) {
    let totals = fleet.hub.as_ref().unwrap().hub.totals();
    (totals.applied, totals.duplicate)
}

#[test]
fn a_network_that_delays_and_loses_half_of_the_calls_loses_and_doubles_no_observation() {
    let config = config();
    let mut fleet =
        Fleet::new(&config, Layout { delay: Nanos::from_millis(300), loss: 50.0, ..layout(4) }, 2);
    let end = send(&mut fleet, 0, 2_000);
    fleet.finish();
    let links = || fleet.nodes.iter().filter_map(|n| n.link.as_ref());
    assert!(links().map(Link::failed).sum::<u64>() > 50);
    assert_eq!(links().map(Link::given_up).sum::<u64>(), 0);
    let (applied, duplicates) = told(&fleet);
    assert_eq!(applied, 2_000, "at {end:?}");
    assert!(duplicates > 0, "no reply was lost");
}

#[test]
fn without_losses_nothing_is_sent_twice() {
    let config = config();
    let mut fleet = Fleet::new(&config, layout(3), 2);
    send(&mut fleet, 0, 500);
    fleet.finish();
    assert_eq!(told(&fleet), (500, 0));
}

#[test]
fn nodes_are_restarted_each_day_and_one_by_one_when_they_are_rolled() {
    let config = config();
    let roll = Some(START.plus(Nanos::from_secs(600)));
    let mut fleet = Fleet::new(&config, Layout { roll, ..layout(3) }, 1);
    send(&mut fleet, 0, 661);
    assert_eq!(fleet.nodes.iter().map(|n| n.lives).collect::<Vec<_>>(), [1, 1, 0]);
    send(&mut fleet, 661, 600);
    assert_eq!(fleet.nodes.iter().map(|n| n.lives).collect::<Vec<_>>(), [1, 1, 1]);
    let nodes: Vec<_> = fleet.hub.as_ref().unwrap().hub.nodes().iter().collect();
    assert_eq!(nodes.len(), 6, "a restarted node is another one");
    let mut daily = Fleet::new(&config, Layout { restarts: true, hub: false, ..layout(2) }, 1);
    daily.advance(START);
    assert_eq!(daily.nodes.iter().map(|n| n.lives).collect::<Vec<_>>(), [0, 0], "the first day");
    send(&mut daily, 0, 10);
    daily.advance(START.plus(Nanos::from_secs(2 * DAY + 60)));
    assert_eq!(daily.nodes.iter().map(|n| n.lives).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn clocks_that_differ_are_those_of_the_hub_after_an_exchange() {
    let config = config();
    let mut fleet = Fleet::new(&config, Layout { skew: Nanos::from_secs(120), ..layout(3) }, 2);
    let end = send(&mut fleet, 0, 600);
    assert_eq!(fleet.nodes.iter().map(|n| n.skew / 1_000_000_000).collect::<Vec<_>>(), [-120, 0, 120]);
    fleet.finish();
    assert_eq!(told(&fleet), (600, 0));
    let hub = &fleet.hub.as_ref().unwrap().hub;
    let mut offsets: Vec<i64> = hub.nodes().iter().map(|(_, n)| n.offset() / 1_000_000_000).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [-120, 0, 120]);
    // Neither has the hub's time leapt ahead, nor does anything lie in its future.
    assert!(hub.ticked().secs().abs_diff(end.secs()) <= 60 * 60, "{:?} {end:?}", hub.ticked());
}
