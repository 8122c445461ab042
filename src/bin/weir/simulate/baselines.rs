//! stub until merged
pub struct Baselines;
impl Baselines { pub fn new(_: usize) -> Self { Baselines } pub fn see(&mut self, _: u32, _: u64, _: &[u8], _: &[u8]) {} pub fn results(&self) -> Vec<(&'static str, Vec<bool>)> { Vec::new() } }
