//! Placeholder.
use crate::engine::config::Limit;
use crate::engine::units::Nanos;
/// x
#[derive(Debug)]
pub struct Limiter {}
/// x
#[derive(Debug)]
pub struct Denied {
    /// x
    pub retry_after: Nanos,
}
impl Limiter {
    /// x
    pub fn new(_: usize, _: usize) -> Limiter {
        Limiter {}
    }
    /// x
    pub fn size_bytes(&self) -> usize {
        0
    }
    /// x
    /// # Errors
    /// x
    pub fn charge(&mut self, _: Nanos, _: u64, _: &[Limit]) -> Result<(), Denied> {
        Ok(())
    }
}
