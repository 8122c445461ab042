//! Indicators as bytes: a strict JSON object, signed with Ed25519 as a JSON Web Signature (RFC 7515,
//! flattened; `EdDSA` of RFC 8037), so that any JOSE library can read it. The signature covers the text as
//! written: nothing is serialised again to check it.

use crate::audit::chain::hex;
use crate::explain::record::is_hex;
use crate::figures::utc;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the format: the one that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Longest file, bytes.
pub const MOST_BYTES: u64 = 1 << 20;
/// Largest number of indicators in a file.
pub const MOST_INDICATORS: usize = 256;
/// Smallest number of phrases of an indicator: fewer would match too much.
pub const LEAST_PHRASES: usize = 4;
pub const MOST_PHRASES: usize = 32;
/// Longest validity, days.
pub const MOST_DAYS: u64 = 366;
/// Longest name of an issuer, bytes.
pub const MOST_NAME: usize = 64;
/// Largest error of a clock, seconds.
const SKEW_S: u64 = 600;
/// `SubjectPublicKeyInfo` of Ed25519 (RFC 8410) in front of the key's 32 bytes.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const HEADER: &str = r#"{"alg":"EdDSA","typ":"weir-indicators"}"#;

/// A file of indicators: hashes of phrases under the exchange seed, and figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicators {
    /// `indicators`: the kind of file.
    pub weir: String,
    pub version: u32,
    /// Name of the organisation that signs it.
    pub issuer: String,
    /// Time of the export, seconds since the epoch.
    pub created_s: u64,
    pub expires_s: u64,
    /// Check value of the exchange seed: 8 hexadecimal digits.
    pub exchange: String,
    pub indicators: Vec<Indicator>,
}

/// An indicator: one template of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicator {
    /// Its id, `xid:` and 16 hexadecimal digits: a hash of the phrases.
    pub id: String,
    /// Hashes of phrases under the exchange seed, 16 hexadecimal digits each, sorted.
    pub phrases: Vec<String>,
    /// Phrases in a request of the campaign, on average.
    pub typical: u32,
    /// First request, in whole hours, seconds since the epoch.
    pub from_s: u64,
    pub to_s: u64,
    /// Number of keys. This and the next count are rounded to two digits.
    pub keys: u64,
    pub requests: u64,
    /// The strongest evidence: nats over the best honest explanation.
    pub nats: i64,
}

/// Why a file of indicators is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no file of this kind, or its content exceeds a limit.
    #[error("malformed: {0}")]
    Malformed(String),
    /// It was not signed by this key.
    #[error("signature: it was changed, or another key has signed it than --partner-key")]
    Signature,
    /// It is of another version.
    #[error("version {0}: this `weir` reads version {VERSION}; ask for that one, or upgrade")]
    Version(u32),
    /// It has expired (seconds since the epoch).
    #[error("expired on {}: ask for new ones", utc(*.0))]
    Expired(u64),
    /// It is not valid yet (seconds since the epoch).
    #[error("made on {}, which is to come: is a clock wrong?", utc(*.0))]
    Early(u64),
    /// It was hashed under another exchange seed.
    #[error("exchange seed: it was made under another one than --exchange-seed-file holds")]
    Exchange,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    protected: String,
    payload: String,
    signature: String,
}

/// Reads the key that signs: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it.
///
/// # Errors
/// It cannot be read, or is another kind of key; the message holds nothing of it.
pub fn signing_key(path: &Path) -> Result<Ed25519KeyPair, String> {
    let der = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|e| e.to_string())?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|_| "is no Ed25519 key: make one with `openssl genpkey -algorithm ed25519 -out FILE`".into())
}

/// Reads a partner's public key: PEM, as `openssl pkey -pubout` writes it.
///
/// # Errors
/// It cannot be read, or is another kind of key.
pub fn partner_key(path: &Path) -> Result<Vec<u8>, String> {
    let der = SubjectPublicKeyInfoDer::from_pem_file(path).map_err(|e| e.to_string())?;
    let key = der.as_ref().strip_prefix(&SPKI).filter(|k| k.len() == 32);
    key.map(<[u8]>::to_vec)
        .ok_or_else(|| "is no public Ed25519 key: `openssl pkey -in KEY -pubout -out FILE` writes it".into())
}

/// Serialises and signs indicators.
pub fn write(indicators: &Indicators, key: &Ed25519KeyPair) -> Result<String, serde_json::Error> {
    let (protected, payload) = (B64.encode(HEADER), B64.encode(serde_json::to_string(indicators)?));
    let signature = B64.encode(key.sign(format!("{protected}.{payload}").as_bytes()));
    Ok(format!("{}\n", serde_json::to_string_pretty(&Signed { protected, payload, signature })?))
}

/// Reads indicators signed by the holder of `key`. They must be valid at `now_s` (seconds since the epoch)
/// and under an exchange seed with this check value (`None`: any).
///
/// # Errors
/// See `Refused`. The signature is checked before the content.
pub fn read(text: &[u8], key: &[u8], now_s: u64, exchange: Option<u32>) -> Result<Indicators, Refused> {
    let bad = |why: &dyn std::fmt::Display| Refused::Malformed(why.to_string());
    if text.len() as u64 > MOST_BYTES {
        return Err(bad(&format!("longer than {MOST_BYTES} bytes")));
    }
    let signed: Signed = serde_json::from_slice(text).map_err(|e| bad(&e))?;
    let signature = B64.decode(&signed.signature).map_err(|_| Refused::Signature)?;
    let input = format!("{}.{}", signed.protected, signed.payload);
    UnparsedPublicKey::new(&ED25519, key)
        .verify(input.as_bytes(), &signature)
        .map_err(|_| Refused::Signature)?;
    // Signed by the partner; but another kind of thing that this key has signed is no list of indicators.
    if B64.decode(&signed.protected).ok().as_deref() != Some(HEADER.as_bytes()) {
        return Err(bad(&"the header is not that of indicators"));
    }
    let payload = B64.decode(&signed.payload).map_err(|e| bad(&e))?;
    #[derive(Deserialize)]
    struct Head {
        weir: String,
        version: u32,
    }
    let head: Head = serde_json::from_slice(&payload).map_err(|e| bad(&e))?;
    if head.weir != "indicators" {
        return Err(bad(&"it holds something else than indicators"));
    }
    if head.version != VERSION {
        return Err(Refused::Version(head.version));
    }
    let all: Indicators = serde_json::from_slice(&payload).map_err(|e| bad(&e))?;
    all.check().map_err(|why| bad(&why))?;
    if all.created_s > now_s.saturating_add(SKEW_S) {
        return Err(Refused::Early(all.created_s));
    }
    if all.expires_s <= now_s {
        return Err(Refused::Expired(all.expires_s));
    }
    if exchange.is_some_and(|e| all.exchange != format!("{e:08x}")) {
        return Err(Refused::Exchange);
    }
    Ok(all)
}

impl Indicators {
    /// Checks all limits.
    ///
    /// # Errors
    /// What exceeds its limit.
    pub fn check(&self) -> Result<(), String> {
        if self.issuer.is_empty()
            || self.issuer.len() > MOST_NAME
            || self.issuer.chars().any(char::is_control)
        {
            return Err(format!("issuer must be a name of at most {MOST_NAME} bytes"));
        }
        if !is_hex(&self.exchange, 8) {
            return Err("exchange must be 8 hexadecimal digits".into());
        }
        if self.expires_s.saturating_sub(self.created_s) > MOST_DAYS * 86_400 {
            return Err(format!("valid for more than {MOST_DAYS} days"));
        }
        if self.indicators.len() > MOST_INDICATORS {
            return Err(format!("more than {MOST_INDICATORS} indicators"));
        }
        self.indicators.iter().try_for_each(Indicator::check)
    }
}

impl Indicator {
    fn check(&self) -> Result<(), String> {
        let n = self.phrases.len();
        if !(LEAST_PHRASES..=MOST_PHRASES).contains(&n) {
            return Err(format!(
                "an indicator has {n} phrases, {LEAST_PHRASES} to {MOST_PHRASES} are allowed"
            ));
        }
        if !self.phrases.iter().all(|p| is_hex(p, 16)) || !self.phrases.windows(2).all(|w| w[0] < w[1]) {
            return Err("phrases must be 16 hexadecimal digits each, in order, each once".into());
        }
        if self.id != id(&self.phrases) {
            return Err("id is not that of its phrases".into());
        }
        if (self.typical as usize) < LEAST_PHRASES || self.typical as usize > n {
            return Err(format!("typical must be {LEAST_PHRASES} to the number of phrases"));
        }
        Ok(())
    }

    /// Phrases that a request must carry to match: half of `typical`, at least three.
    pub fn need(&self) -> usize {
        (self.typical as usize / 2).max(LEAST_PHRASES - 1)
    }

    /// The hashes, sorted.
    pub fn values(&self) -> Vec<u64> {
        self.phrases.iter().filter_map(|p| u64::from_str_radix(p, 16).ok()).collect()
    }
}

/// The id of an indicator with these phrases.
pub fn id(phrases: &[String]) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(phrases.join(" "));
    format!("xid:{}", hex(&digest[..8]))
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
