//! Reading request bodies as they stream: Unicode encodings to UTF-8, files in base64, JSON to events. One
//! pass, bounded memory. What a field means is said by `dialect`.

pub mod files;
pub mod scan;
pub mod string_bits;
pub mod transcode;
pub mod unreadable;
