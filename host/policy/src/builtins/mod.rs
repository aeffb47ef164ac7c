//! The functions and tests that a rule's body may name.
//!
//! They are pure but for the clock, which comes with the [`Context`]. A builtin that can make
//! nothing of its arguments gives no answer: its error is for the trace, never for a client.
//! Results are bounded, because a rule can apply `mul` or `concat` to what they made before.
//!
//! There are two lists. The builtins of the original are known by their bare name too, which no
//! head may have. Ours beyond those are known with the prefix `builtin:` only, so that they take no
//! name from anybody's tables.

mod datetime;
mod datetime_text;
mod network;
mod numbers;
mod pattern;
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
    /// What its arguments are: the inputs and, behind an arrow, the outputs. `x, y → z`
    pub parameters: &'static str,
    /// How many arguments must be bound.
    pub inputs: usize,
    /// How many it binds; none if it is a test.
    pub outputs: usize,
    function: Function,
    /// The same for two small whole numbers, if it is worth a way of its own.
    small: Option<fn(i64, i64) -> Option<Small>>,
}

/// What a builtin makes of two small whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Small {
    /// Of a test: whether it holds.
    Holds(bool),
    /// Of a function: its output.
    Gives(i64),
}

#[derive(Debug)]
enum Function {
    Test(fn(&Context, &[Constant]) -> Result<bool>),
    One(fn(&Context, &[Constant]) -> Result<Constant>),
    Several(fn(&Context, &[Constant]) -> Result<Vec<Constant>>),
}

impl Builtin {
    const fn test(
        name: &'static str,
        parameters: &'static str,
        f: fn(&Context, &[Constant]) -> Result<bool>,
    ) -> Self {
        Self { name, parameters, inputs: 2, outputs: 0, function: Function::Test(f), small: None }
    }

    const fn one(
        name: &'static str,
        parameters: &'static str,
        inputs: usize,
        f: fn(&Context, &[Constant]) -> Result<Constant>,
    ) -> Self {
        Self { name, parameters, inputs, outputs: 1, function: Function::One(f), small: None }
    }

    const fn several(
        name: &'static str,
        parameters: &'static str,
        inputs: usize,
        outputs: usize,
        f: fn(&Context, &[Constant]) -> Result<Vec<Constant>>,
    ) -> Self {
        Self { name, parameters, inputs, outputs, function: Function::Several(f), small: None }
    }

    const fn small(mut self, f: fn(i64, i64) -> Option<Small>) -> Self {
        self.small = Some(f);
        self
    }

    /// What it makes of two small whole numbers, without a [`Constant`] of either. None: ask
    /// [`Builtin::eval`].
    pub(crate) fn eval_small(&self, x: i64, y: i64) -> Option<Small> {
        self.small.and_then(|small| small(x, y))
    }

    /// Whether the same inputs give other outputs as time goes by.
    pub fn is_volatile(&self) -> bool {
        self.name == "now"
    }

    /// Whether it gives other outputs for these inputs as time goes by: it asks for the time, or reads
    /// a time without a date.
    pub(crate) fn is_volatile_for(&self, inputs: &[Constant]) -> bool {
        self.is_volatile() || self.reads_dates() && inputs.iter().any(datetime::is_of_today)
    }

    fn reads_dates(&self) -> bool {
        ["datetime_", "extract_", "unpack_"].iter().any(|family| self.name.starts_with(family))
    }

    /// How many arguments its literal has.
    pub fn arity(&self) -> usize {
        self.inputs + self.outputs
    }

    /// How its literal is written: `builtin:plus(x, y → z)`.
    pub fn signature(&self) -> String {
        format!("{PREFIX}:{}({})", self.name, self.parameters)
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

/// The policy that a builtin's literal names: `builtin:plus(x, y, z)`.
pub const PREFIX: &str = "builtin";

/// The builtin that a literal of that name and number of arguments means without a prefix. With
/// another number of arguments it means an ordinary table.
pub fn lookup(name: &str, arity: usize) -> Option<&'static Builtin> {
    BARE.iter().find(|builtin| builtin.name == name && builtin.arity() == arity)
}

/// The builtin that a literal of that name and number of arguments means with the prefix
/// `builtin:`.
pub fn lookup_prefixed(name: &str, arity: usize) -> Option<&'static Builtin> {
    find(name).filter(|builtin| builtin.arity() == arity)
}

/// The builtin of that name, whatever its number of arguments.
pub fn find(name: &str) -> Option<&'static Builtin> {
    all().find(|builtin| builtin.name == name)
}

/// All builtins. Each name stands for one only.
pub fn all() -> impl Iterator<Item = &'static Builtin> {
    BARE.iter().chain(&PREFIXED)
}

/// Whether [`lookup`] knows the name, with whatever number of arguments: no head may have it.
pub fn is_builtin_name(name: &str) -> bool {
    BARE.iter().any(|builtin| builtin.name == name)
}

/// Inputs, when there are as many as a function takes.
fn inputs<const N: usize>(inputs: &[Constant]) -> Result<&[Constant; N]> {
    inputs.try_into().map_err(|_| {
        BuiltinError::from(format!("{} inputs given where {N} are wanted", inputs.len()))
    })
}

/// Known with the prefix only.
static PREFIXED: [Builtin; 10] = [
    Builtin::test("prefix", "text, prefix", |_, a| text::prefix(inputs(a)?)),
    Builtin::test("suffix", "text, suffix", |_, a| text::suffix(inputs(a)?)),
    Builtin::test("contains", "text, part", |_, a| text::contains(inputs(a)?)),
    Builtin::test("matches", "text, regex", |_, a| text::matches(inputs(a)?)),
    Builtin::one("lower", "text → lower", 1, |_, a| text::lower(inputs(a)?)),
    Builtin::one("upper", "text → upper", 1, |_, a| text::upper(inputs(a)?)),
    Builtin::one("split", "text, separator, index → part", 3, |_, a| text::split(inputs(a)?)),
    Builtin::one("and", "x, y → z", 2, |_, a| numbers::bitwise_and(inputs(a)?)),
    Builtin::one("or", "x, y → z", 2, |_, a| numbers::bitwise_or(inputs(a)?)),
    Builtin::one("bnot", "x → y", 1, |_, a| numbers::bitwise_not(inputs(a)?)),
];

/// Known without the prefix, too.
static BARE: [Builtin; 42] = [
    Builtin::test("lt", "x, y", |_, a| numbers::ordered(inputs(a)?, |o| o.is_lt()))
        .small(|x, y| Some(Small::Holds(x < y))),
    Builtin::test("lteq", "x, y", |_, a| numbers::ordered(inputs(a)?, |o| o.is_le()))
        .small(|x, y| Some(Small::Holds(x <= y))),
    Builtin::test("equal", "x, y", |_, a| numbers::equal(inputs(a)?))
        .small(|x, y| Some(Small::Holds(x == y))),
    Builtin::test("gt", "x, y", |_, a| numbers::ordered(inputs(a)?, |o| o.is_gt()))
        .small(|x, y| Some(Small::Holds(x > y))),
    Builtin::test("gteq", "x, y", |_, a| numbers::ordered(inputs(a)?, |o| o.is_ge()))
        .small(|x, y| Some(Small::Holds(x >= y))),
    Builtin::one("max", "x, y → z", 2, |_, a| numbers::max(inputs(a)?)),
    Builtin::one("plus", "x, y → z", 2, |_, a| numbers::plus(inputs(a)?))
        .small(|x, y| x.checked_add(y).map(Small::Gives)),
    Builtin::one("minus", "x, y → z", 2, |_, a| numbers::minus(inputs(a)?))
        .small(|x, y| x.checked_sub(y).map(Small::Gives)),
    Builtin::one("mul", "x, y → z", 2, |_, a| numbers::mul(inputs(a)?))
        .small(|x, y| x.checked_mul(y).map(Small::Gives)),
    Builtin::one("div", "x, y → z", 2, |_, a| numbers::div(inputs(a)?)),
    Builtin::one("float", "x → y", 1, |_, a| numbers::float(inputs(a)?)),
    Builtin::one("int", "x → y", 1, |_, a| numbers::int(inputs(a)?)),
    Builtin::one("concat", "x, y → z", 2, |_, a| numbers::plus(inputs(a)?)),
    Builtin::one("len", "text → n", 1, |_, a| text::len(inputs(a)?)),
    Builtin::one("now", "→ datetime", 0, |context, a| datetime::now(context, inputs(a)?)),
    Builtin::several("unpack_date", "date → y, m, d", 1, 3, |c, a| {
        datetime::unpack_date(c, inputs(a)?)
    }),
    Builtin::several("unpack_time", "time → h, m, s", 1, 3, |c, a| {
        datetime::unpack_time(c, inputs(a)?)
    }),
    Builtin::several("unpack_datetime", "datetime → y, m, d, h, mi, s", 1, 6, |c, a| {
        datetime::unpack_datetime(c, inputs(a)?)
    }),
    Builtin::one("pack_time", "h, m, s → time", 3, |_, a| datetime::pack_time(inputs(a)?)),
    Builtin::one("pack_date", "y, m, d → date", 3, |_, a| datetime::pack_date(inputs(a)?)),
    Builtin::one("pack_datetime", "y, m, d, h, mi, s → datetime", 6, |_, a| {
        datetime::pack_datetime(inputs(a)?)
    }),
    Builtin::one("extract_date", "datetime → date", 1, |c, a| {
        datetime::extract_date(c, inputs(a)?)
    }),
    Builtin::one("extract_time", "datetime → time", 1, |c, a| {
        datetime::extract_time(c, inputs(a)?)
    }),
    Builtin::one("datetime_to_seconds", "datetime → n", 1, |c, a| {
        datetime::to_seconds(c, inputs(a)?)
    }),
    Builtin::one("datetime_plus", "datetime, seconds → datetime", 2, |c, a| {
        datetime::plus(c, inputs(a)?)
    }),
    Builtin::one("datetime_minus", "datetime, seconds → datetime", 2, |c, a| {
        datetime::minus(c, inputs(a)?)
    }),
    Builtin::test("datetime_lt", "a, b", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_lt())),
    Builtin::test("datetime_lteq", "a, b", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_le())),
    Builtin::test("datetime_gt", "a, b", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_gt())),
    Builtin::test("datetime_gteq", "a, b", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_ge())),
    Builtin::test("datetime_equal", "a, b", |c, a| datetime::ordered(c, inputs(a)?, |o| o.is_eq())),
    Builtin::test("ips_equal", "a, b", |_, a| network::ordered(inputs(a)?, |o| o.is_eq())),
    Builtin::test("ips_lt", "a, b", |_, a| network::ordered(inputs(a)?, |o| o.is_lt())),
    Builtin::test("ips_lteq", "a, b", |_, a| network::ordered(inputs(a)?, |o| o.is_le())),
    Builtin::test("ips_gt", "a, b", |_, a| network::ordered(inputs(a)?, |o| o.is_gt())),
    Builtin::test("ips_gteq", "a, b", |_, a| network::ordered(inputs(a)?, |o| o.is_ge())),
    Builtin::test("networks_equal", "a, b", |_, a| network::networks_equal(inputs(a)?)),
    Builtin::test("networks_overlap", "a, b", |_, a| network::networks_overlap(inputs(a)?)),
    Builtin::test("ip_in_network", "ip, network", |_, a| network::ip_in_network(inputs(a)?)),
    Builtin::one("validate_int", "min, max, value → problem", 3, |_, a| {
        validate::int(inputs(a)?)
    }),
    Builtin::one("validate_float", "min, max, value → problem", 3, |_, a| {
        validate::float(inputs(a)?)
    }),
    Builtin::one(
        "validate_string",
        "regex, max_length, quotes, ignore_case, value → problem",
        5,
        |_, a| validate::string(inputs(a)?),
    ),
];

#[cfg(test)]
mod tests;
