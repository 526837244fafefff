//! The engine's only source of randomness: SplitMix64, seeded by the job, the same on every machine.
//!
//! The order of rows, the initial adapter and dropout come from here, never from the operating system, so that a
//! run can be repeated to the byte. It is not a cryptographic generator and guards no secret.

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The SplitMix64 output function: a bijection that spreads every input bit over the output.
pub(crate) fn mix(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A seeded stream of numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed` for one purpose; different purposes never share numbers.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut state = mix(seed.wrapping_add(GAMMA));
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte)).wrapping_add(GAMMA);
        }
        Rng(state)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// A number below `bound` (> 0), without bias that matters below 2^32.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "an empty range has no number");
        let wide = u128::from(self.next_u64()) * bound as u128;
        (wide >> 64) as usize
    }

    /// Uniform in [0, 1), 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Close to normal with mean 0 and deviation 1: a sum of twelve uniforms, free of libm.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    /// One of `items`.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// A permutation of `0..len` (Fisher-Yates).
    pub fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for i in (1..len).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// Seeded dropout of one sequence in one step. Each module's mask is a function of its key and the element's
/// index alone, so the backward pass makes it again instead of keeping it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    key: u64,
    /// Dropped below this, of 65536: probabilities are rounded to 2^-16.
    threshold: u16,
    keep_scale: f32,
}

impl Dropout {
    /// Dropout with probability `p` in (0, 1) for visit number `visit` of a run seeded by `seed`; `None` for 0.
    pub(crate) fn new(p: f64, seed: u64, visit: u64) -> Option<Self> {
        let threshold = (p * 65536.0).round() as u16;
        let key = Rng::new(seed, "dropout").next_u64();
        (threshold > 0).then(|| Dropout {
            key: mix(key ^ mix(visit.wrapping_add(GAMMA))),
            threshold,
            keep_scale: (1.0 / (1.0 - f64::from(threshold) / 65536.0)) as f32,
        })
    }

    /// The mask of one module: `site` names layer and module.
    fn site(self, site: usize) -> u64 {
        mix(self.key ^ mix((site as u64).wrapping_mul(GAMMA).wrapping_add(1)))
    }

    /// out = x masked and scaled by 1 / (1 - p).
    pub(crate) fn apply(self, site: usize, x: &[f32], out: &mut [f32]) {
        self.each(site, out, |i, scale, out| *out = x[i] * scale);
    }

    /// sum += x masked and scaled by 1 / (1 - p).
    pub(crate) fn add(self, site: usize, x: &[f32], sum: &mut [f32]) {
        self.each(site, sum, |i, scale, sum| *sum += x[i] * scale);
    }

    fn each(self, site: usize, out: &mut [f32], apply: impl Fn(usize, f32, &mut f32)) {
        let key = self.site(site);
        for (block, four) in out.chunks_mut(4).enumerate() {
            let mut bits = mix(key.wrapping_add((block as u64).wrapping_mul(GAMMA)));
            for (lane, value) in four.iter_mut().enumerate() {
                let keep = bits as u16 >= self.threshold;
                apply(block * 4 + lane, if keep { self.keep_scale } else { 0.0 }, value);
                bits >>= 16;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutation_visits_each_once() {
        let mut order = Rng::new(7, "rows").permutation(1000);
        assert_ne!(order[..10], (0..10).collect::<Vec<_>>()[..]);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn dropout_keeps_the_mean_and_repeats() {
        let dropout = Dropout::new(0.1, 3, 9).unwrap();
        let x = vec![1.0f32; 40_003];
        let (mut a, mut b) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        dropout.apply(5, &x, &mut a);
        dropout.add(5, &x, &mut b);
        assert_eq!(a, b);
        let mean = a.iter().sum::<f32>() / x.len() as f32;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        dropout.apply(6, &x, &mut b);
        assert_ne!(a, b);
        assert!(Dropout::new(0.0, 3, 9).is_none());
    }
}
