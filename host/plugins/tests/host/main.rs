//! The plugin host with real guests, which `scripts/build-drivers` makes.
//!
//! One binary: linking the engine once is slow enough.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod common;
#[cfg(test)]
mod languages;
#[cfg(test)]
mod load;
#[cfg(test)]
mod network;
