//! Fifty nodes that send to a hub, and what an exchange takes: `make bench-hub`.

use super::fake::{Fake, Rng};
use super::process::{Hub, now};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use weir::engine::config::Config;
use weir::engine::observation::Observation;

/// How the hub is started.
pub const ARGS: &[&str] = &["--keys", "1048576", "--node-quota", "1000000"];
const SECONDS: Duration = Duration::from_secs(10);

fn observations(rng: &mut Rng, n: usize) -> Vec<Observation> {
    let one =
        |r: &mut Rng| Observation { time: now(), key: r.next() | 1, exact: r.next(), ..Default::default() };
    (0..n).map(|_| one(rng)).collect()
}

/// Each of them sends a thousand observations twice a second, as proxies with much traffic do.
pub fn steady(store: &str, hub: &Hub, config: &Arc<Config>) {
    fifty(&format!("{store}, 50 nodes x 2,000 observations/s"), hub, config, Duration::from_millis(500));
}

/// Each of them sends the next thousand as soon as the last ones are acknowledged.
pub fn saturated(store: &str, hub: &Hub, config: &Arc<Config>) {
    fifty(&format!("{store}, 50 nodes without a pause"), hub, config, Duration::ZERO);
}

fn fifty(what: &str, hub: &Hub, config: &Arc<Config>, every: Duration) {
    let took = Mutex::new(Vec::new());
    let before = hub.status()["observations"].as_u64().unwrap();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for i in 0..50 {
            let (config, hub, took) = (&config, &hub, &took);
            scope.spawn(move || {
                let (mut f, mut rng) = (Fake::new(before + i, config), Rng(before + i));
                std::thread::sleep(Duration::from_millis(10 * i));
                while began.elapsed() < SECONDS {
                    let at = Instant::now();
                    (0..10).for_each(|_| f.write(0, &observations(&mut rng, 100)));
                    let sent = Instant::now();
                    hub.exchange(&mut f, now()).unwrap();
                    took.lock().unwrap().push(sent.elapsed());
                    std::thread::sleep(every.saturating_sub(at.elapsed()));
                }
            });
        }
    });
    let mut took = took.into_inner().unwrap();
    took.sort_unstable();
    let seconds = began.elapsed().as_secs_f64();
    let s = hub.status();
    println!(
        "{what}: {:.0} observations/s in {} exchanges: p50 {:?}, p99 {:?}, longest {:?}; {} keys, {} checkpoints, the last of {} bytes in {} ms",
        (s["observations"].as_u64().unwrap() - before) as f64 / seconds,
        took.len(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1],
        s["keys"],
        hub.metric("weir_hub_checkpoints_total"),
        s["store"]["checkpoint_bytes"],
        s["store"]["checkpoint_ms"]
    );
}
