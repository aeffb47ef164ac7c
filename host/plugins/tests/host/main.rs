//! The plugin host with real guests, which `scripts/build-drivers` makes.
//!
//! One binary: linking the engine once is slow enough.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod busy;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod common;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keystone_v2;
#[cfg(test)]
mod languages;
#[cfg(test)]
mod load;
#[cfg(test)]
mod network;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod tls;
