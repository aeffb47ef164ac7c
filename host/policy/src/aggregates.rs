//! What an aggregate makes of the values of a group.
//!
//! The result does not depend on the order of the values: whole numbers and floats are summed
//! exactly and rounded once, at the end. So an answer is the same however it was computed.
//! A group that has no result (a sum of texts, the least of a text and a number) is absent, as an
//! error in a builtin is no answer.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_traits::ToPrimitive;

use crate::ast::{AggregateFunction, Constant};
use crate::builtins::compare;

/// The values of one group, so far.
#[derive(Debug)]
pub(crate) struct Accumulator {
    kind: Kind,
    /// A value was one that the function cannot take.
    failed: bool,
}

#[derive(Debug)]
enum Kind {
    Count(u64),
    Sum(Sum),
    Average(Sum),
    /// The value that stands in this order to all others.
    Extreme(Ordering, Option<Constant>),
}

impl Accumulator {
    /// No values yet.
    pub(crate) fn new(function: AggregateFunction) -> Self {
        let kind = match function {
            AggregateFunction::Count => Kind::Count(0),
            AggregateFunction::Sum => Kind::Sum(Sum::default()),
            AggregateFunction::Avg => Kind::Average(Sum::default()),
            AggregateFunction::Min => Kind::Extreme(Ordering::Less, None),
            AggregateFunction::Max => Kind::Extreme(Ordering::Greater, None),
        };
        Self { kind, failed: false }
    }

    /// Takes in the value of one solution.
    pub(crate) fn add(&mut self, value: &Constant) {
        match &mut self.kind {
            Kind::Count(count) => *count += 1,
            Kind::Sum(sum) | Kind::Average(sum) => self.failed |= !sum.add(value),
            Kind::Extreme(wanted, best) => match best {
                _ if matches!(value, Constant::Float(float) if float.is_nan()) => {
                    self.failed = true;
                }
                None => *best = Some(value.clone()),
                Some(kept) => match compare(value, kept) {
                    Ok(Some(order)) => {
                        // Of equal numbers the whole one is kept, whichever came first.
                        let whole = order.is_eq() && matches!(value, Constant::Int(_));
                        if order == *wanted || whole {
                            *kept = value.clone();
                        }
                    }
                    Ok(None) | Err(_) => self.failed = true,
                },
            },
        }
    }

    /// [`Accumulator::add`] of a small whole number.
    pub(crate) fn add_int(&mut self, value: i64) {
        match &mut self.kind {
            Kind::Count(count) => *count += 1,
            Kind::Sum(sum) | Kind::Average(sum) => sum.add_int(value),
            Kind::Extreme(..) => self.add(&Constant::Int(value.into())),
        }
    }

    /// Takes in a solution that gives no value.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }

    /// The result, if there is one.
    pub(crate) fn finish(self) -> Option<Constant> {
        if self.failed {
            return None;
        }
        match self.kind {
            Kind::Count(count) => Some(Constant::Int(count.into())),
            Kind::Sum(sum) => sum.finish(),
            Kind::Average(sum) => {
                let count = sum.count as f64;
                let sum = match sum.finish()? {
                    Constant::Float(float) => float,
                    Constant::Int(int) => finite(&int)?,
                    Constant::Text(_) => return None,
                };
                Some(Constant::Float(sum / count))
            }
            Kind::Extreme(_, best) => best,
        }
    }
}

/// A sum of numbers.
#[derive(Debug, Default)]
struct Sum {
    count: u64,
    /// Of those that fit 64 bits; as many as can be counted do not overflow it.
    small: i128,
    large: BigInt,
    floats: Option<Box<FloatSum>>,
}

impl Sum {
    fn add_int(&mut self, value: i64) {
        self.count += 1;
        self.small += i128::from(value);
    }

    /// False if it is no number.
    fn add(&mut self, value: &Constant) -> bool {
        match value {
            Constant::Int(int) => match int.to_i64() {
                Some(small) => self.add_int(small),
                None => {
                    self.count += 1;
                    self.large += int;
                }
            },
            Constant::Float(float) => {
                self.count += 1;
                self.floats.get_or_insert_default().add(*float);
            }
            Constant::Text(_) => return false,
        }
        true
    }

    fn finish(self) -> Option<Constant> {
        let whole = self.large + self.small;
        match self.floats {
            None => Some(Constant::Int(whole)),
            Some(mut floats) => {
                floats.add(finite(&whole)?);
                Some(Constant::Float(floats.finish()))
            }
        }
    }
}

/// A whole number as a float, if it fits one.
fn finite(int: &BigInt) -> Option<f64> {
    int.to_f64().filter(|float| float.is_finite())
}

/// The bits of a limb of a [`FloatSum`] that stand for themselves; the others are carry.
const LIMB: u64 = 32;
/// Enough limbs for the largest float's highest bit, counted from the smallest one's only bit.
const LIMBS: usize = 64;

/// An exact sum of floats: a fixed-point number in units of the smallest float.
#[derive(Debug)]
struct FloatSum {
    /// Each counts 2^32 times the one before. A float adds less than 2^85 to one of them, so that
    /// 2^42 floats can be added before a limb could overflow.
    limbs: [i128; LIMBS],
    positive_infinity: bool,
    negative_infinity: bool,
    nan: bool,
}

impl Default for FloatSum {
    fn default() -> Self {
        let (positive_infinity, negative_infinity, nan) = Default::default();
        Self { limbs: [0; LIMBS], positive_infinity, negative_infinity, nan }
    }
}

impl FloatSum {
    fn add(&mut self, float: f64) {
        if !float.is_finite() {
            self.nan |= float.is_nan();
            self.positive_infinity |= float == f64::INFINITY;
            self.negative_infinity |= float == f64::NEG_INFINITY;
            return;
        }
        let bits = float.to_bits();
        let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        // Floats of the lowest exponent have no hidden bit, and the same unit as the next ones.
        let (shift, mantissa) = match exponent {
            0 => (0, fraction),
            _ => (exponent - 1, fraction | (1 << 52)),
        };
        let value = i128::from(mantissa) << (shift % LIMB);
        if let Some(limb) = self.limbs.get_mut((shift / LIMB) as usize) {
            *limb += if float.is_sign_negative() { -value } else { value };
        }
    }

    fn finish(self) -> f64 {
        if self.nan || (self.positive_infinity && self.negative_infinity) {
            return f64::NAN;
        }
        if self.positive_infinity {
            return f64::INFINITY;
        }
        if self.negative_infinity {
            return f64::NEG_INFINITY;
        }
        let used = |limb: &i128| *limb != 0;
        let Some(lowest) = self.limbs.iter().position(used) else {
            return 0.0;
        };
        let mut total = BigInt::ZERO;
        for limb in self.limbs.iter().skip(lowest).rev() {
            total = (total << LIMB) + *limb;
        }
        rounded(&(total << (LIMB * lowest as u64)))
    }
}

/// The float that is nearest to a number of units of the smallest float; of two, the even one.
fn rounded(units: &BigInt) -> f64 {
    const MANTISSA: u64 = 53;
    let size = units.magnitude();
    let cut = size.bits().saturating_sub(MANTISSA);
    let mut mantissa = (size >> cut).to_u64().unwrap_or(u64::MAX);
    if cut > 0 && size.bit(cut - 1) {
        let above_half = size.trailing_zeros().is_some_and(|zeros| zeros < cut - 1);
        mantissa += u64::from(above_half || mantissa & 1 == 1);
    }
    // The hidden bit, if there is one, counts the exponent up by one, as it should.
    let bits = cut.checked_shl(52).and_then(|exponent| exponent.checked_add(mantissa));
    let infinity = f64::INFINITY.to_bits();
    let float =
        f64::from_bits(bits.filter(|bits| cut < 0x7ff && *bits < infinity).unwrap_or(infinity));
    if units.sign() == Sign::Minus { -float } else { float }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(function: AggregateFunction, values: &[Constant]) -> Option<String> {
        let mut accumulator = Accumulator::new(function);
        values.iter().for_each(|value| accumulator.add(value));
        accumulator.finish().map(|result| result.to_string())
    }

    fn int(value: i64) -> Constant {
        Constant::Int(value.into())
    }

    fn text(value: &str) -> Constant {
        Constant::Text(value.into())
    }

    const FLOAT: fn(f64) -> Constant = Constant::Float;

    #[test]
    fn results() {
        use AggregateFunction::{Avg, Count, Max, Min, Sum};
        let big = Constant::Int(BigInt::from(1) << 100);
        for (function, values, wanted) in [
            (Count, vec![int(1), text("a"), FLOAT(f64::NAN)], Some("3")),
            (Sum, vec![int(1), int(2), int(-4)], Some("-1")),
            (Sum, vec![int(1), FLOAT(0.5)], Some("1.5")),
            (Sum, vec![FLOAT(1.0), FLOAT(-1.0)], Some("0.0")),
            (Sum, vec![big.clone(), int(1)], Some("1267650600228229401496703205377")),
            (Sum, vec![int(1), text("a")], None),
            (Sum, vec![FLOAT(f64::INFINITY), FLOAT(f64::NEG_INFINITY)], Some("nan")),
            (Sum, vec![FLOAT(f64::NEG_INFINITY), int(1)], Some("-inf")),
            (Sum, vec![Constant::Int(BigInt::from(1) << 2000), FLOAT(1.0)], None),
            (Avg, vec![int(1), int(2)], Some("1.5")),
            (Avg, vec![int(2)], Some("2.0")),
            (Avg, vec![text("a")], None),
            (Min, vec![int(2), FLOAT(1.5), big.clone()], Some("1.5")),
            (Max, vec![int(2), FLOAT(1.5), big], Some("1267650600228229401496703205376")),
            (Max, vec![FLOAT(2.0), int(2)], Some("2")),
            (Min, vec![int(2), FLOAT(2.0)], Some("2")),
            (Min, vec![text("b"), text("a"), text("B")], Some("\"B\"")),
            (Max, vec![text("b"), int(1)], None),
            (Max, vec![FLOAT(f64::NAN)], None),
            (Min, vec![int(1), FLOAT(f64::NAN)], None),
        ] {
            assert_eq!(of(function, &values).as_deref(), wanted, "{function:?} {values:?}");
        }
    }

    #[test]
    fn sums_of_floats_are_rounded_once() {
        let sum = |values: &[f64]| {
            let mut sum = FloatSum::default();
            values.iter().for_each(|value| sum.add(*value));
            sum.finish()
        };
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e308, 1e308, -1e308]), 1e308);
        assert_eq!(sum(&[1e308, 1e308]), f64::INFINITY);
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(sum(&[f64::MAX, f64::MIN_POSITIVE]), f64::MAX);
        // Halfway goes to the even neighbour.
        assert_eq!(sum(&[9_007_199_254_740_992.0, 1.0]), 9_007_199_254_740_992.0);
        assert_eq!(sum(&[9_007_199_254_740_994.0, 1.0]), 9_007_199_254_740_996.0);
    }

    proptest! {
        #[test]
        fn the_sum_of_two_floats_is_that_of_the_processor(a in any::<f64>(), b in any::<f64>()) {
            let mut sum = FloatSum::default();
            sum.add(a);
            sum.add(b);
            prop_assert_eq!(sum.finish(), a + b);
        }

        #[test]
        fn the_order_does_not_matter(mut values in proptest::collection::vec(any::<f64>(), 0..20)) {
            let sum = |values: &[f64]| {
                let mut sum = FloatSum::default();
                values.iter().for_each(|value| sum.add(*value));
                sum.finish()
            };
            let there = sum(&values);
            values.reverse();
            prop_assert_eq!(there.to_bits(), sum(&values).to_bits());
        }
    }
}
