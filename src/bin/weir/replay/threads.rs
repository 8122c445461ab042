//! A replay on several threads, with the results of one.
//!
//! Reading lines and taking fingerprints may run in any order and is most of the work. Learning and judging
//! depend on all earlier requests, so one thread does them in the order of the trace. That thread also reads
//! while nothing waits for it, so one thread runs the same code. Memory: a fixed number of batches, reused.

use super::Replay;
use crate::requests::batch::Batch;
use crate::requests::reader::Reader;
use crate::requests::source::Source;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// Batches for each thread: one in its hands, two on the way.
const BATCHES: usize = 3;

/// State that the threads share. Its holder may wait for an empty batch, because batches are returned without
/// it.
struct Shared<'a> {
    source: Source<'a>,
    empty: Receiver<Batch>,
}

/// Tells the judging thread that a batch will never come.
struct Bell(Sender<Option<Batch>>);

impl Drop for Bell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(None);
        }
    }
}

fn read_ahead(shared: &Mutex<Shared<'_>>, mut reader: Reader, full: Sender<Option<Batch>>) {
    let bell = Bell(full);
    loop {
        let batch = {
            let mut s = shared.lock().unwrap_or_else(PoisonError::into_inner);
            // No empty batch will come any more when the judging thread has given up.
            let Ok(mut batch) = s.empty.recv() else { return };
            s.source.next(&mut batch).then_some(batch)
        };
        let Some(mut batch) = batch else { return };
        reader.read(&mut batch);
        if bell.0.send(Some(batch)).is_err() {
            return;
        }
    }
}

/// Replays the traces on `threads` threads, this one included.
///
/// # Errors
/// The exit status.
pub fn run(replay: &mut Replay, traces: &[PathBuf], threads: usize) -> Result<(), u8> {
    let (give_back, empty) = channel();
    for _ in 0..threads * BATCHES {
        let _ = give_back.send(Batch::new());
    }
    let shared = Mutex::new(Shared { source: Source::new(traces), empty });
    let config = std::sync::Arc::clone(replay.deployment.config());
    let import = replay.import.clone();
    std::thread::scope(|scope| {
        let (send, full) = channel();
        for _ in 1..threads {
            let (shared, reader, send) = (&shared, Reader::new(&config, &import), send.clone());
            scope.spawn(move || read_ahead(shared, reader, send));
        }
        drop(send);
        judge(replay, &shared, &mut Reader::new(&config, &import), full, give_back)
    })
}

/// Judges batches in order, and reads one itself while the next is not there yet.
fn judge(
    replay: &mut Replay,
    shared: &Mutex<Shared<'_>>,
    reader: &mut Reader,
    full: Receiver<Option<Batch>>,
    give_back: Sender<Batch>,
) -> Result<(), u8> {
    let (mut next, mut early) = (0u64, BTreeMap::<u64, Batch>::new());
    loop {
        while let Ok(got) = full.try_recv() {
            let Some(batch) = got else { return Ok(()) };
            early.insert(batch.at, batch);
        }
        if let Some(mut batch) = early.remove(&next) {
            replay.batch(&mut batch, reader)?;
            next += 1;
            let _ = give_back.send(batch);
            continue;
        }
        let mine = shared.try_lock().ok().and_then(|mut s| {
            let mut batch = s.empty.try_recv().ok()?;
            let more = s.source.next(&mut batch);
            Some((batch, more, s.source.read))
        });
        match mine {
            Some((mut batch, true, _)) => {
                reader.read(&mut batch);
                early.insert(batch.at, batch);
            }
            Some((_, false, read)) if read == next => return Ok(()),
            // Others have it: one of their batches is next.
            other => {
                if let Some((batch, ..)) = other {
                    let _ = give_back.send(batch);
                }
                match full.recv() {
                    Ok(Some(batch)) => {
                        early.insert(batch.at, batch);
                    }
                    Ok(None) | Err(_) => return Ok(()),
                }
            }
        }
    }
}
