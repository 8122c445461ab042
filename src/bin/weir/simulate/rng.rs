//! Random numbers for traffic: SplitMix64 (Steele, Lea & Flood 2014), seeded by what they are drawn for, so
//! that any part of the traffic can be made again by itself.

/// A generator; equal seeds give equal draws on every target.
#[derive(Clone, Copy, Debug)]
pub struct Rng(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(mix(seed ^ 0x9E37_79B9_7F4A_7C15))
    }
    /// The generator for one purpose: a seed and two coordinates.
    pub fn at(seed: u64, a: u64, b: u64) -> Rng {
        Rng(mix(mix(seed ^ a.wrapping_mul(0xd134_2543_de82_ef95)) ^ b.wrapping_mul(0xaf25_1af3_b0f0_25b5)))
    }
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
    /// Uniform in 0..1.
    pub fn f(&mut self) -> f64 {
        ((self.u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    /// Uniform in 0..n (0 when n is 0).
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(n)) >> 64) as u64
    }
    /// Uniform in lo..=hi.
    pub fn between(&mut self, lo: u64, hi: u64) -> u64 {
        lo + self.below(hi - lo + 1)
    }
    pub fn chance(&mut self, p: f64) -> bool {
        self.f() < p
    }
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
    pub fn exp(&mut self, mean: f64) -> f64 {
        -mean * self.f().ln()
    }
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.f().ln()).sqrt() * (std::f64::consts::TAU * self.f()).cos()
    }
    /// Log-normal with this median.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
    pub fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).max(0.0).round() as u32;
        }
        let (limit, mut product, mut n) = ((-mean).exp(), self.f(), 0);
        while product > limit {
            product *= self.f();
            n += 1;
        }
        n
    }
    /// A number below `n`; the i-th with a probability in proportion to 1/(i+1).
    pub fn zipf(&mut self, n: u64) -> u64 {
        let x = ((n as f64 + 1.0).ln() * self.f()).exp() - 1.0;
        (x as u64).min(n.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_they_claim() {
        let mut r = Rng::new(1);
        let n = 40_000;
        let mean = |f: &mut dyn FnMut() -> f64| (0..n).map(|_| f()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || r.f()) - 0.5).abs() < 0.01);
        assert!((mean(&mut || r.exp(3.0)) - 3.0).abs() < 0.1);
        assert!(mean(&mut || r.normal()).abs() < 0.02);
        assert!((mean(&mut || f64::from(r.poisson(2.5))) - 2.5).abs() < 0.05);
        assert!((mean(&mut || f64::from(r.poisson(90.0))) - 90.0).abs() < 0.5);
        assert!((0..1000).all(|_| r.zipf(7) < 7 && r.below(3) < 3));
        assert_eq!(Rng::at(1, 2, 3).u64(), Rng::at(1, 2, 3).u64());
        assert_ne!(Rng::at(1, 2, 3).u64(), Rng::at(1, 3, 2).u64());
    }
}
