//! A stand-in for the model server: answers every request, and counts what reaches it.

use super::http;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ANSWER: &str = r#"{"id":"demo","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"ok"}}]}"#;

/// Serves on a free loopback port; returns the port and the count of requests whose body arrived whole.
pub fn start() -> std::io::Result<(u16, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let hits = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&hits);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || {
                let _ = serve(stream, &counter);
            });
        }
    });
    Ok((port, hits))
}

fn serve(stream: TcpStream, hits: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let Some(head) = http::head(&mut reader)? else { return Ok(()) };
        let mut whole = true;
        if head.chunked {
            let mut line = String::new();
            loop {
                line.clear();
                reader.read_line(&mut line)?;
                let n = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
                whole &= std::io::copy(&mut (&mut reader).take(n as u64 + 2), &mut std::io::sink())?
                    == n as u64 + 2;
                if n == 0 || !whole {
                    break;
                }
            }
        } else {
            whole = std::io::copy(&mut (&mut reader).take(head.length), &mut std::io::sink())? == head.length;
        }
        if !whole {
            return Ok(());
        }
        hits.fetch_add(1, Ordering::Relaxed);
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
            ANSWER.len()
        )?;
    }
}
