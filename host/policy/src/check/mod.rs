//! What a statement must satisfy before it is stored, in the order in which it is checked.

pub(crate) mod columns;
pub(crate) mod recursion;
pub(crate) mod safety;
pub(crate) mod shape;
pub(crate) mod widths;
