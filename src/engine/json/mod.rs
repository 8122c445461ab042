//! Request bodies as they stream: Unicode encodings to UTF-8 (also of files in base64), strings and structure 64 bytes at a time.
//! One pass, bounded memory. Dialects say what a field means.

pub mod files;
pub mod scan;
pub mod string_bits;
pub mod transcode;
pub mod unreadable;
