//! Recorded traffic, read once for each purpose.

use crate::import;
use crate::lines::{Item, Lines};
use crate::requests::batch::Request;
use crate::requests::reader::Reader;
use crate::requests::source::written;
use crate::skip::{Skip, Skipped};
use std::path::{Path, PathBuf};
use weir::engine::Decision;

/// Hands every readable line to `each`, as all of the readers in their order read it. Returns the number of
/// lines skipped.
///
/// # Errors
/// The path of a file that cannot be read, and why.
pub fn read<const N: usize>(
    traces: &[PathBuf],
    readers: &mut [Reader; N],
    mut each: impl FnMut(&mut [Request; N], Option<Decision>),
) -> Result<u64, (PathBuf, std::io::Error)> {
    let mut skipped = 0;
    for path in traces {
        skipped += file(path, readers, &mut each).map_err(|e| (path.clone(), e))?;
    }
    Ok(skipped)
}

fn file<const N: usize>(
    path: &Path,
    readers: &mut [Reader; N],
    each: &mut impl FnMut(&mut [Request; N], Option<Decision>),
) -> std::io::Result<u64> {
    let (mut lines, mut faults, mut skipped, mut number) = (Lines::values(path)?, Skipped::default(), 0, 0);
    let (file_time, mut requests) = (written(path), std::array::from_fn(|_| Request::default()));
    while let Some(item) = lines.next()? {
        number += 1;
        let done = match item {
            Item::Line([]) => continue,
            Item::Line(text) => import::requests(text, &file_time, |line, beside| {
                let mut early = None;
                for (reader, request) in readers.iter_mut().zip(&mut requests) {
                    // A line's parts are used up by reading it.
                    early = reader.line(&mut line.clone(), beside, request)?;
                    request.x.set_time(request.time, request.age.map(|age| request.time.since(age)));
                }
                each(&mut requests, early);
                Ok(())
            }),
            Item::TooLong => Err(Skip::new("line is too long")),
        };
        if let Err(skip) = done {
            faults.add(number, &skip);
            skipped += 1;
        }
    }
    faults.messages(path).iter().for_each(|m| eprintln!("{m}"));
    Ok(skipped)
}
