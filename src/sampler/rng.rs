//! The random numbers of the samplers.

use std::hash::{BuildHasher, RandomState};

/// The seed that asks for a random one, as libllama's `LLAMA_DEFAULT_SEED`.
pub const RANDOM_SEED: u32 = 0xFFFF_FFFF;

/// Random numbers that can be started again.
#[derive(Clone, Debug)]
pub(super) struct Seeded {
    /// The seed asked for.
    asked: u32,
    /// The seed in use.
    pub current: u32,
    pub rng: Rng,
}

impl Seeded {
    /// [`RANDOM_SEED`] takes a seed from the operating system.
    pub fn new(seed: u32) -> Seeded {
        let current = if seed == RANDOM_SEED { random_seed() } else { seed };
        Seeded { asked: seed, current, rng: Rng::new(current) }
    }

    /// From the start; with [`RANDOM_SEED`], from a new seed.
    pub fn restart(&mut self) {
        *self = Seeded::new(self.asked);
    }
}

/// A number nobody can foresee: the standard library's hash keys come from the operating system.
fn random_seed() -> u32 {
    (RandomState::new().hash_one(std::time::Instant::now()) % u64::from(RANDOM_SEED)) as u32
}

/// MT19937: Matsumoto and Nishimura, "Mersenne Twister" (ACM TOMACS 8, 1998), and numbers of the unit interval as the C++
/// library on Linux makes them of it (`std::generate_canonical`). So the same seed draws what it draws in llama.cpp, on
/// every platform.
#[derive(Clone, Debug)]
pub(super) struct Rng {
    state: [u32; N],
    at: usize,
}

const N: usize = 624;
const M: usize = 397;

impl Rng {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = (before ^ before >> 30).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Rng { state, at: N }
    }

    fn next_u32(&mut self) -> u32 {
        if self.at == N {
            for i in 0..N {
                let y = self.state[i] & 1 << 31 | self.state[(i + 1) % N] & !(1 << 31);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ y >> 1 ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// Uniform in `[0, 1)`, of 64 random bits.
    pub(super) fn next_f64(&mut self) -> f64 {
        let low = f64::from(self.next_u32());
        let high = f64::from(self.next_u32());
        ((low + high * 2f64.powi(32)) * 2f64.powi(-64)).min(1.0f64.next_down())
    }

    /// Uniform in `[0, 1)`, of 32 random bits.
    pub(super) fn next_f32(&mut self) -> f32 {
        (self.next_u32() as f32 * 2f32.powi(-32)).min(1.0f32.next_down())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C++ standard gives the 10,000th number of the default seed.
    #[test]
    fn published_number() {
        let mut rng = Rng::new(5489);
        let last = (0..10_000).map(|_| rng.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn unit_interval_is_half_open() {
        let mut rng = Rng::new(1);
        for _ in 0..10_000 {
            assert!((0.0..1.0).contains(&rng.next_f64()));
            assert!((0.0..1.0).contains(&rng.next_f32()));
        }
        // The largest numbers there are would be rounded to 1.
        assert!(1.0f32.next_down() < 1.0 && u32::MAX as f32 * 2f32.powi(-32) == 1.0);
    }
}
