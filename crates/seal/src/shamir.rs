//! Shamir secret sharing of 32 bytes over GF(2^8), polynomial 0x11b, x = 1..=n. No table and no
//! branch depends on a secret. With t = 1 every share is the secret itself.

use crate::error::SealError;
use crate::secret::Secret;

/// Splits `secret` into shares for x = 1..=n; any `t` of them make it again.
pub(crate) fn split(secret: &Secret, t: u8, n: usize) -> Result<Vec<Secret>, SealError> {
    let count = u8::try_from(n).map_err(|_| SealError::Threshold { t, n })?;
    if t == 0 || t > count {
        return Err(SealError::Threshold { t, n });
    }
    // coefficients[k] is the coefficient of x^(k+1) for all 32 bytes at once.
    let mut coefficients = Vec::with_capacity(usize::from(t) - 1);
    for _ in 1..t {
        coefficients.push(Secret::random()?);
    }
    Ok((1..=count).map(|x| evaluate(secret, &coefficients, x)).collect())
}

pub(crate) fn evaluate(secret: &Secret, coefficients: &[Secret], x: u8) -> Secret {
    let mut share = Secret::zero();
    for coefficient in coefficients.iter().rev() {
        for (byte, c) in share.bytes_mut().iter_mut().zip(coefficient.bytes()) {
            *byte = multiply(*byte ^ c, x);
        }
    }
    for (byte, s) in share.bytes_mut().iter_mut().zip(secret.bytes()) {
        *byte ^= s;
    }
    share
}

/// The value at 0 of the polynomial through the given points. The x must be distinct and not 0,
/// which the caller has checked; the result is only as right as the shares.
pub(crate) fn interpolate(points: &[(u8, &Secret)]) -> Secret {
    let mut secret = Secret::zero();
    for (i, (x, share)) in points.iter().enumerate() {
        // The Lagrange weight at 0: the product of x_j / (x_j - x_i); all x are public.
        let mut weight = 1;
        for (j, (other, _)) in points.iter().enumerate() {
            if i != j {
                weight = multiply(weight, multiply(*other, invert(*other ^ *x)));
            }
        }
        for (byte, s) in secret.bytes_mut().iter_mut().zip(share.bytes()) {
            *byte ^= multiply(*s, weight);
        }
    }
    secret
}

fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & mask(b >> bit);
        a = (a << 1) ^ (0x1b & mask(a >> 7));
    }
    product
}

/// 0xff where the lowest bit is set, else 0.
fn mask(bit: u8) -> u8 {
    0u8.wrapping_sub(bit & 1)
}

/// a^254, which is the inverse, and 0 for 0.
fn invert(a: u8) -> u8 {
    let mut power = a;
    let mut result = 1;
    for _ in 0..7 {
        power = multiply(power, power);
        result = multiply(result, power);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_field_is_that_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for a in 1..=255u8 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
        assert_eq!(invert(0), 0);
    }

    #[test]
    fn impossible_thresholds_are_refused() {
        let secret = Secret::zero();
        for (t, n) in [(0, 1), (2, 1), (1, 0), (3, 256)] {
            assert!(matches!(split(&secret, t, n), Err(SealError::Threshold { .. })), "{t} of {n}");
        }
    }

    #[test]
    fn one_of_n_gives_the_secret_itself() {
        let secret = Secret::take(&mut [9; 32]);
        for share in split(&secret, 1, 3).ok().unwrap() {
            assert_eq!(share.bytes(), secret.bytes());
        }
    }

    proptest! {
        #[test]
        fn any_t_shares_make_the_secret(
            mut bytes in any::<[u8; 32]>(), t in 1u8..6, extra in 0u8..4, seed in any::<u64>(),
        ) {
            let n = t + extra;
            let expected = bytes;
            let secret = Secret::take(&mut bytes);
            let shares = split(&secret, t, n.into()).ok().unwrap();
            // A pseudo-random choice of t members.
            let mut order: Vec<u8> = (1..=n).collect();
            order.sort_by_key(|x| seed.wrapping_mul(u64::from(*x) * 2 + 1).rotate_left(17));
            let chosen: Vec<_> =
                order.iter().take(t.into()).map(|x| (*x, &shares[usize::from(*x) - 1])).collect();
            let found = interpolate(&chosen);
            prop_assert_eq!(found.bytes(), &expected);
            if t > 1 {
                // Too few shares silently give another value: why commitments exist.
                let found = interpolate(&chosen[1..]);
                prop_assert_ne!(found.bytes(), &expected);
            }
        }
    }
}
