//! What listeners get, and how much waits for a slow one.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use http_body_util::BodyExt;

async fn next(body: &mut Body) -> Option<String> {
    let frame = timeout(Duration::from_secs(5), body.frame()).await.unwrap()?;
    Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn one_that_is_slow_misses_events_and_is_told_how_many() {
    let events = Events::default();
    events.say("case_opened", &json!({"case": "nobody listens"}));
    let mut body = events.listen().unwrap();
    assert_eq!(next(&mut body).await.unwrap(), "id: 1\nevent: listening\ndata: {\"n\":1}\n\n");
    let keys: Vec<String> = (0..500).map(|n| format!("kid:{n:016x}")).collect();
    events.say("convicted", &json!({"case": "00000007", "keys": keys}));
    let told = next(&mut body).await.unwrap();
    assert!(told.starts_with("id: 2\nevent: convicted\ndata: {"), "{told}");
    assert!(
        told.contains("\"of\":500") && told.matches("kid:").count() == KEYS && told.len() < 1_024,
        "{told}"
    );
    // One waits in the stream's own place, and one more may be under way.
    for n in 0..WAITING as u64 + 100 {
        events.say("acquitted", &json!({"n": n}));
        tokio::task::yield_now().await;
    }
    let (mut got, mut missed) = (0, 0);
    while got + missed < WAITING as u64 + 100 {
        let text = next(&mut body).await.unwrap();
        match text.split("event: missed\ndata: {\"events\":").nth(1) {
            Some(n) => missed += n.split('}').next().unwrap().parse::<u64>().unwrap(),
            None => got += 1,
        }
    }
    assert!((90..=100).contains(&missed), "{missed}");
    assert_eq!(events.counts(), (1, missed));
    // A line break in what people wrote stays within its text.
    events.say("act", &json!({"reason": "a\nb\r\n\nevent: x"}));
    assert_eq!(next(&mut body).await.unwrap().lines().count(), 4);
    events.end();
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn there_is_room_for_so_many_listeners_and_who_leaves_makes_room() {
    let events = Events::default();
    let mut all: Vec<Body> = (0..LISTENERS).map(|_| events.listen().unwrap()).collect();
    assert!(events.listen().is_none());
    assert_eq!(events.counts().0, LISTENERS as u64);
    all.pop();
    for _ in 0..500 {
        events.say("x", &json!({}));
        tokio::time::sleep(Duration::from_millis(10)).await;
        if events.counts().0 < LISTENERS as u64 {
            break;
        }
    }
    assert!(events.listen().is_some());
}
