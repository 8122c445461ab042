//! Strict JSON half. To be replaced.
use super::*;

/// Placeholder.
#[derive(Clone, Debug)]
pub struct Problem {
    /// JSON path.
    pub path: String,
    /// What is wrong, and the fix.
    pub message: String,
}

/// All problems of one file.
#[derive(Clone, Debug)]
pub struct ConfigError(pub Vec<Problem>);

/// Parses and validates.
pub fn parse(_json: &str) -> Result<Config, ConfigError> {
    Ok(Config {
        policy: "default".into(),
        seed: Seed::from_text("default"),
        seed_is_derived: true,
        learn: Nanos::from_hours(24),
        campaign: Campaign::default(),
        profiles: vec![Profile {
            name: "default".into(),
            mode: Mode::Enforce,
            enforce_percent: 100,
            identity: IdentityConfig {
                sources: vec![Source::Bearer],
                tenant: None,
                age: None,
                ja4: None,
                trusted_hops: 0,
            },
            inspect: Inspect {
                max_hold_bytes: 16384,
                max_inspect_bytes: 1 << 20,
                hold_headers: false,
                on_unreadable: OnUnreadable::Limit,
            },
            limits: vec![],
            actions: Actions {
                watch_tags: true,
                throttle_retry_after: Nanos::from_secs(30),
                block_for: Nanos::from_hours(72),
                block_status: 429,
            },
            allow: vec![],
            deny: vec![],
            failure_mode: FailureMode::Open,
            log: LogDecisions::Changes,
        }],
        routes: Routes::default(),
        time_scale: 1,
        keys: 32768,
        status_path: None,
    })
}
