//! Reads what a hub has saved without being a hub: it takes no lock and writes nothing. Groups after the
//! newest checkpoint are not read.

use super::core::Hub;
use super::journal;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::ledger::Ledger;

/// True if the file begins like a checkpoint.
///
/// # Errors
/// It cannot be read.
pub fn is_checkpoint(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(8).read_to_end(&mut head)?;
    Ok(head == journal::CHECKPOINT.to_le_bytes())
}

/// Hands the ledger of a checkpoint file, or of a directory's newest complete checkpoint, to `with`.
///
/// # Errors
/// A message: there is none, it is damaged, or it is of another seed or policy.
pub fn read<T>(path: &Path, config: &Arc<Config>, with: impl FnOnce(&Ledger) -> T) -> Result<T, String> {
    let mut files: Vec<PathBuf> = vec![path.to_path_buf()];
    if path.is_dir() {
        files = std::fs::read_dir(path)
            .map_err(|e| e.to_string())?
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| {
                let name = p.file_name().unwrap_or_default().to_string_lossy();
                name.strip_prefix("checkpoint-").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
            })
            .collect();
        files.sort();
    }
    let mut why =
        "no checkpoint is there: a hub writes one every `--checkpoint-s` and when it ends".to_string();
    for file in files.iter().rev() {
        let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
        match journal::read_checkpoint(bytes, config.seed.check()) {
            Ok((_, bytes)) => {
                let hub = Hub::restore(Arc::clone(config), &bytes, 1, 1)
                    .map_err(|e| format!("{}: {}", file.display(), e.0))?;
                return Ok(with(hub.ledger()));
            }
            Err(e) => why = format!("{}: {e}", file.display()),
        }
    }
    Err(why)
}
