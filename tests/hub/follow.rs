//! `weir hub --follow` on real files: each line is learned once, whatever becomes of file and process.

use super::fake::config_text;
use super::lines::{append, lines};
use super::process::{Dir, Hub, command, ends, now};
use std::fs::File;
use std::io::Write;

#[test]
fn every_line_is_learned_once_through_rotation_truncation_and_kill_9() {
    let dir = Dir::new("follow");
    let file = dir.file("c.json", config_text(""));
    let (log, one, two) = (dir.0.join("edge.log"), dir.0.join("edge.log.1"), dir.0.join("edge.log.2"));
    append(&log, &lines(0, 50));
    let args = ["--follow", log.to_str().unwrap()];
    let mut hub = Hub::start(&file, &dir.state(), &args);
    // What was there before is not read.
    while hub.status()["nodes"].as_array().unwrap().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    append(&log, &lines(50, 100));
    hub.settled("observations", 100);
    // Renamed while its writer still has it open, in the middle of a line.
    let text = lines(150, 40);
    let (first, rest) = text.split_at(text.len() / 2);
    let mut writer = File::options().append(true).open(&log).unwrap();
    writer.write_all(first.as_bytes()).unwrap();
    std::fs::rename(&log, &one).unwrap();
    append(&log, &lines(190, 30));
    writer.write_all(rest.as_bytes()).unwrap();
    hub.settled("observations", 170);
    // Copied and truncated.
    std::fs::copy(&log, &two).unwrap();
    std::fs::write(&log, lines(220, 5)).unwrap();
    hub.settled("observations", 175);
    // Killed; written to, rotated and begun anew while it is away, also what it has read a part of.
    for round in 0..3u64 {
        hub.kill();
        append(&log, &lines(300 + 100 * round, 20));
        if round > 0 {
            std::fs::rename(&log, dir.0.join(format!("edge.log.away-{round}"))).unwrap();
            append(&log, &lines(350 + 100 * round, 10));
        }
        // With an old log beside it that the hub never saw: it is none of its own.
        append(&dir.0.join("edge.log.old"), &lines(9_000, 5));
        hub = Hub::start(&file, &dir.state(), &["--follow", log.to_str().unwrap(), "--follow-from-start"]);
        hub.settled("observations", 195 + 30 * round);
    }
    assert_eq!(hub.status()["lost"], 0);
    assert_eq!(hub.status()["duplicate_batches"], 0);
    assert_eq!(hub.status()["refused_batches"], 0);
    assert_eq!(hub.stop(), 0);
    let hub = Hub::start(&file, &dir.state(), &args);
    append(&log, &lines(900, 1));
    hub.settled("observations", 256);
    // One observation of each key.
    hub.settled("keys", 256);
}

#[test]
fn bad_lines_are_counted_by_kind_with_one_message_a_kind() {
    let dir = Dir::new("follow-bad");
    let file = dir.file("c.json", config_text(""));
    let log = dir.0.join("edge.log");
    append(&log, &lines(0, 1));
    append(&log, "not json\n{\"t\":1}\nnot json either\n\n");
    append(&log, &lines(1, 1).replace("\"t\":", "\"t\":\"yesterday\",\"u\":"));
    append(&log, &"x".repeat(18 << 20));
    append(&log, "\n");
    append(&log, &lines(2, 1).replace("}\n", ",\"response\":{\"status\":429}}\n"));
    append(&log, &lines(4, 2).replace("\"t\":", "\"t\":\"2026-01-01T00:00:00Z\",\"u\":"));
    // No prompt: nothing to learn, and no fault.
    append(&log, "{\"t\":1790000000,\"path\":\"/healthz\",\"method\":\"GET\"}\n");
    append(&log, &lines(3, 1));
    let args = ["--follow", log.to_str().unwrap(), "--follow-from-start"];
    let hub = Hub::start(&file, &dir.state(), &args);
    hub.settled("observations", 5);
    assert_eq!(hub.events("lines_late").len(), 1, "told once");
    let told = hub.events("line_skipped");
    let kinds: Vec<_> = told.iter().map(|e| e["kind"].as_str().unwrap().to_string()).collect();
    let line = format!("line is longer than {} bytes", 16 << 20);
    let want = ["is not a JSON object", "missing field `path`", "t cannot be read", line.as_str()];
    assert_eq!(kinds, want, "{told:?}");
    let events = std::sync::Arc::clone(&hub.log);
    assert_eq!(hub.stop(), 0);
    let log = events.lock().unwrap().join("\n");
    assert!(
        log.contains(r#""event":"followed""#)
            && log.contains(r#""is not a JSON object":2"#)
            && log.contains(r#""late":2"#),
        "{log}"
    );
}

#[test]
fn logs_of_gateways_are_followed_as_they_are() {
    let dir = Dir::new("follow-logs");
    let file = dir.file("c.json", config_text(""));
    let log = dir.0.join("edge.log");
    let t = now().0 / 1_000_000_000;
    let helicone = |i: u64| {
        format!(
            "{{\"request_created_at\":{t},\"request_path\":\"/v1/chat/completions\",\"request_user_id\":\"u{i}\",\"request_body\":{{\"messages\":[{{\"role\":\"user\",\"content\":\"question {i} of the day\"}}]}}}}\n"
        )
    };
    append(&log, &(0..5).map(helicone).collect::<String>());
    // Two in one record, without a time: they came now.
    append(
        &log,
        "{\"requests\":[{\"custom_id\":\"a\",\"params\":{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}},{\"custom_id\":\"b\",\"params\":{\"messages\":[]}}]}\n",
    );
    append(
        &log,
        "{\"http_streamed_trace_segment\":{\"trace_id\":\"1\",\"request_body_chunk\":{\"as_string\":\"{}\"}}}\n{\"level\":\"info\"}\n",
    );
    let hub = Hub::start(&file, &dir.state(), &["--follow", log.to_str().unwrap(), "--follow-from-start"]);
    hub.settled("observations", 7);
    hub.settled("keys", 5);
    let told = hub.events("line_skipped");
    let kinds: Vec<_> = told.iter().map(|e| e["kind"].as_str().unwrap().to_string()).collect();
    assert_eq!(
        kinds,
        ["is a piece of a request: only weir replay joins them", "is in no format that is known"]
    );
    assert_eq!(hub.stop(), 0);
}

#[test]
fn beyond_its_quota_a_log_waits_and_is_read_all_the_same() {
    let dir = Dir::new("follow-quota");
    let file = dir.file("c.json", config_text(""));
    let log = dir.0.join("edge.log");
    append(&log, &lines(0, 200));
    let args = ["--follow", log.to_str().unwrap(), "--follow-from-start", "--node-quota", "50"];
    let hub = Hub::start(&file, &dir.state(), &args);
    hub.settled("observations", 200);
    append(&log, &lines(200, 20));
    hub.settled("observations", 220);
    assert!(hub.status()["nodes"][0]["over_quota"].as_u64().unwrap() > 0);
}

#[test]
fn what_cannot_be_followed_is_told_and_more_logs_than_it_takes_are_refused() {
    let dir = Dir::new("follow-what");
    let file = dir.file("c.json", config_text(""));
    std::fs::create_dir_all(dir.0.join("dir")).unwrap();
    let hub = Hub::start(&file, &dir.state(), &["--follow", dir.0.join("dir").to_str().unwrap()]);
    while hub.events("line_skipped").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(hub.events("line_skipped").len(), 1, "told once");
    assert_eq!(hub.stop(), 0);
    let mut many = command(&file, &dir.state(), &[]);
    for i in 0..257 {
        many.arg("--follow").arg(format!("{i}.log"));
    }
    let (status, said) = ends(many);
    assert!(status == 1 && said.contains("--follow is given 257 times, at most 256"), "{said}");
    let (status, said) = ends(command(&file, &dir.state(), &["--follow-from-start"]));
    assert!(status != 0 && said.contains("--follow"), "{said}");
}
