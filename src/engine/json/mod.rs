//! Request bodies as they stream: text of any Unicode encoding made UTF-8 (of files in base64, too), strings and structure found 64 bytes at a time, one
//! pass, bounded memory. What a field means is the dialects' business.

pub mod files;
pub mod scan;
pub mod string_bits;
pub mod transcode;
pub mod unreadable;
