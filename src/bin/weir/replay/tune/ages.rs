//! Which field of the records tells when a key was made: it holds a time before the request, which is the
//! same in all requests of a key and differs between keys.

use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use weir::engine::units::Nanos;

/// Fields that are examined, at most.
const FIELDS: usize = 64;
/// Keys that are examined, about 50 bytes for each field.
const KEYS: usize = 20_000;
/// Least percentage of keys with several requests that have one time only.
const STEADY: usize = 98;
/// Least percentage of keys that have the field.
const MOST_KEYS: usize = 50;
/// Least number of different times: a field that is the same for all tells nothing.
const DIFFERENT: usize = 3;

#[derive(Default)]
struct Field {
    /// For each key the time, whether it came again, and whether with another time.
    keys: HashMap<u64, (u32, bool, bool)>,
    /// Requests before their field's time.
    later: u64,
}

/// All fields that hold times, by path.
#[derive(Default)]
pub struct Ages(HashMap<String, Field>);

impl Ages {
    pub fn add(&mut self, key: u64, now: Nanos, times: &[(String, u32)]) {
        for (path, at) in times {
            if !self.0.contains_key(path) {
                if self.0.len() >= FIELDS {
                    continue;
                }
                self.0.insert(path.clone(), Field::default());
            }
            let Some(field) = self.0.get_mut(path) else { continue };
            field.later += u64::from(u64::from(*at) > now.secs());
            let full = field.keys.len() >= KEYS;
            if let Some((first, again, changed)) = field.keys.get_mut(&key) {
                (*again, *changed) = (true, *changed || first != at);
            } else if !full {
                field.keys.insert(key, (*at, false, false));
            }
        }
    }

    /// The fields that qualify, the best first, and the patch for a header.
    pub fn report(&self, keys: usize) -> (Vec<Value>, Value) {
        let mut found: Vec<(usize, &String)> =
            self.0.iter().filter(|(_, f)| f.is_age(keys)).map(|(path, f)| (f.keys.len(), path)).collect();
        found.sort_by_key(|(n, path)| {
            (std::cmp::Reverse(*n), !path.contains("creat"), path.len(), path.to_string())
        });
        let header = |path: &str| path.strip_prefix("headers.").map(str::to_string);
        let tell = |(n, path): &(usize, &String)| json!({"field": path, "keys": n, "header": header(path)});
        let first = found.iter().find_map(|(_, path)| header(path));
        let patch = first.map_or(json!({}), |name| json!({"identity": {"age": {"header": name}}}));
        (found.iter().map(tell).collect(), patch)
    }
}

impl Field {
    fn is_age(&self, keys: usize) -> bool {
        let again = self.keys.values().filter(|k| k.1).count();
        let changed = self.keys.values().filter(|k| k.2).count();
        let different: BTreeSet<u32> = self.keys.values().map(|k| k.0).collect();
        self.later == 0
            && again > 0
            && (again - changed) * 100 >= again * STEADY
            && self.keys.len() * 100 >= keys.min(KEYS) * MOST_KEYS
            && different.len() >= DIFFERENT
    }
}
