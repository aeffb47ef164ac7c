//! The functions and tests that a rule's body may name.
//!
//! They are pure but for the clock, which comes with the [`Context`]. A builtin that can make
//! nothing of its arguments gives no answer: its error is for the trace, never for a client.
//! Results are bounded, because a rule can apply `mul` or `concat` to what they made before.

mod datetime;
mod datetime_text;
mod network;
mod numbers;
mod text;
mod validate;

use std::borrow::Cow;

use time::PrimitiveDateTime;

use crate::ast::Constant;

pub use numbers::compare;

/// The longest text that a builtin makes or takes apart, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// The largest whole number that a builtin makes, in bits.
pub const MAX_INTEGER_BITS: u64 = 64 * 1024;

/// What a builtin sees besides its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Local time when the evaluation began. It is the answer of `now` and the day of a time
    /// without a date; within one evaluation it does not change.
    pub now: PrimitiveDateTime,
}

/// Why a builtin gives no answer. One line, for a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuiltinError(Cow<'static, str>);

impl From<&'static str> for BuiltinError {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for BuiltinError {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

type Result<T> = std::result::Result<T, BuiltinError>;

/// A function or a test. As a literal it takes its inputs first, then its outputs.
#[derive(Debug)]
pub struct Builtin {
    /// Its name, without the prefix `builtin:`.
    pub name: &'static str,
    /// How many arguments must be bound.
    pub inputs: usize,
    /// How many it binds; none if it is a test.
    pub outputs: usize,
    function: Function,
}

#[derive(Debug)]
enum Function {
    Test(fn(&Context, &[Constant]) -> Result<bool>),
    One(fn(&Context, &[Constant]) -> Result<Constant>),
    Several(fn(&Context, &[Constant]) -> Result<Vec<Constant>>),
}

impl Builtin {
    const fn test(name: &'static str, f: fn(&Context, &[Constant]) -> Result<bool>) -> Self {
        Self { name, inputs: 2, outputs: 0, function: Function::Test(f) }
    }

    const fn one(
        name: &'static str,
        inputs: usize,
        f: fn(&Context, &[Constant]) -> Result<Constant>,
    ) -> Self {
        Self { name, inputs, outputs: 1, function: Function::One(f) }
    }

    const fn several(
        name: &'static str,
        inputs: usize,
        outputs: usize,
        f: fn(&Context, &[Constant]) -> Result<Vec<Constant>>,
    ) -> Self {
        Self { name, inputs, outputs, function: Function::Several(f) }
    }

    /// Whether the same inputs give other outputs as time goes by.
    pub fn is_volatile(&self) -> bool {
        self.name == "now"
    }

    /// How many arguments its literal has.
    pub fn arity(&self) -> usize {
        self.inputs + self.outputs
    }

    /// Its outputs, [`Builtin::outputs`] of them; `None` if it is a test that does not hold. The
    /// outputs of a test that holds are empty.
    ///
    /// # Errors
    ///
    /// It has no answer: an argument has the wrong type or form, a result is out of bounds, or
    /// `inputs` are not [`Builtin::inputs`] many.
    pub fn eval(
        &self,
        context: &Context,
        inputs: &[Constant],
    ) -> std::result::Result<Option<Vec<Constant>>, BuiltinError> {
        match self.function {
            Function::Test(test) => Ok(test(context, inputs)?.then(Vec::new)),
            Function::One(function) => Ok(Some(vec![function(context, inputs)?])),
            Function::Several(function) => function(context, inputs).map(Some),
        }
    }
}

/// The builtin that a literal of that name and number of arguments means, without a prefix or with
/// the prefix `builtin:`. With another number of arguments it means an ordinary table.
pub fn lookup(name: &str, arity: usize) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name && builtin.arity() == arity)
}

/// Whether [`lookup`] knows the name, with whatever number of arguments: no head may have it.
pub fn is_builtin_name(name: &str) -> bool {
    BUILTINS.iter().any(|builtin| builtin.name == name)
}

/// As [`lookup`], for the literals with the prefix `builtin:` in policies of kind `z3`, which know
/// fewer functions and three of their own.
pub fn lookup_z3(name: &str, arity: usize) -> Option<&'static Builtin> {
    const SHARED: [&str; 8] = ["plus", "minus", "mul", "lt", "lteq", "equal", "gteq", "gt"];
    if SHARED.contains(&name) {
        return lookup(name, arity);
    }
    BITWISE.iter().find(|builtin| builtin.name == name && builtin.arity() == arity)
}

/// Inputs, when there are as many as a function takes.
fn inputs<const N: usize>(inputs: &[Constant]) -> Result<&[Constant; N]> {
    inputs.try_into().map_err(|_| {
        BuiltinError::from(format!("{} inputs given where {N} are wanted", inputs.len()))
    })
}

static BITWISE: [Builtin; 3] = [
    Builtin::one("and", 2, |_, a| numbers::bitwise_and(inputs(a)?)),
    Builtin::one("or", 2, |_, a| numbers::bitwise_or(inputs(a)?)),
    Builtin::one("bnot", 1, |_, a| numbers::bitwise_not(inputs(a)?)),
];

static BUILTINS: [Builtin; 42] = [
    Builtin::test("lt", |_, a| numbers::ordered(inputs(a)?, |o| o.is_lt())),
    Builtin::test("lteq", |_, a| numbers::ordered(inputs(a)?, |o| o.is_le())),
    Builtin::test("equal", |_, a| numbers::equal(inputs(a)?)),
    Builtin::test("gt", |_, a| numbers::ordered(inputs(a)?, |o| o.is_gt())),
    Builtin::test("gteq", |_, a| numbers::ordered(inputs(a)?, |o| o.is_ge())),
    Builtin::one("max", 2, |_, a| numbers::max(inputs(a)?)),
    Builtin::one("plus", 2, |_, a| numbers::plus(inputs(a)?)),
    Builtin::one("minus", 2, |_, a| numbers::minus(inputs(a)?)),
    Builtin::one("mul", 2, |_, a| numbers::mul(inputs(a)?)),
    Builtin::one("div", 2, |_, a| numbers::div(inputs(a)?)),
    Builtin::one("float", 1, |_, a| numbers::float(inputs(a)?)),
    Builtin::one("int", 1, |_, a| numbers::int(inputs(a)?)),
    Builtin::one("concat", 2, |_, a| numbers::plus(inputs(a)?)),
    Builtin::one("len", 1, |_, a| text::len(inputs(a)?)),
    Builtin::one("now", 0, |context, a| datetime::now(context, inputs(a)?)),
    Builtin::several("unpack_date", 1, 3, |c, a| datetime::unpack_date(c, inputs(a)?)),
    Builtin::several("unpack_time", 1, 3, |c, a| datetime::unpack_time(c, inputs(a)?)),
    Builtin::several("unpack_datetime", 1, 6, |c, a| datetime::unpack_datetime(c, inputs(a)?)),
    Builtin::one("pack_time", 3, |_, a| datetime::pack_time(inputs(a)?)),
    Builtin::one("pack_date", 3, |_, a| datetime::pack_date(inputs(a)?)),
    Builtin::one("pack_datetime", 6, |_, a| datetime::pack_datetime(inputs(a)?)),
    Builtin::one("extract_date", 1, |c, a| datetime::extract_date(c, inputs(a)?)),
    Builtin::one("extract_time", 1, |c, a| datetime::extract_time(c, inputs(a)?)),
    Builtin::one("datetime_to_seconds", 1, |c, a| datetime::to_seconds(c, inputs(a)?)),
    Builtin::one("datetime_plus", 2, |c, a| datetime::plus(c, inputs(a)?)),
    Builtin::one("datetime_minus", 2, |c, a| datetime::minus(c, inputs(a)?)),
    Builtin::test("datetime_lt", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_lt())),
    Builtin::test("datetime_lteq", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_le())),
    Builtin::test("datetime_gt", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_gt())),
    Builtin::test("datetime_gteq", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_ge())),
    Builtin::test("datetime_equal", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_eq())),
    Builtin::test("ips_equal", |_, a| network::ordered(inputs(a)?, |o| o.is_eq())),
    Builtin::test("ips_lt", |_, a| network::ordered(inputs(a)?, |o| o.is_lt())),
    Builtin::test("ips_lteq", |_, a| network::ordered(inputs(a)?, |o| o.is_le())),
    Builtin::test("ips_gt", |_, a| network::ordered(inputs(a)?, |o| o.is_gt())),
    Builtin::test("ips_gteq", |_, a| network::ordered(inputs(a)?, |o| o.is_ge())),
    Builtin::test("networks_equal", |_, a| network::networks_equal(inputs(a)?)),
    Builtin::test("networks_overlap", |_, a| network::networks_overlap(inputs(a)?)),
    Builtin::test("ip_in_network", |_, a| network::ip_in_network(inputs(a)?)),
    Builtin::one("validate_int", 3, |_, a| validate::int(inputs(a)?)),
    Builtin::one("validate_float", 3, |_, a| validate::float(inputs(a)?)),
    Builtin::one("validate_string", 5, |_, a| validate::string(inputs(a)?)),
];

#[cfg(test)]
mod tests;
