//! What the operator decides: folders, limits and grants.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::CompilerProgram;
pub use crate::net::allowed::{AllowedHost, ParseAllowedHostError};
pub use crate::net::wire::Wire;

/// The configuration of a [`Host`](crate::Host).
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where compiled code is kept between runs; made with mode 0700 if missing. Without one each
    /// start compiles anew (a third of a second for a Rust driver, 15 s and more for Python).
    pub cache_folder: Option<PathBuf>,
    /// What that folder may take, in bytes; what was not used for longest is taken away, never
    /// what a process uses. A driver takes some 0.5 MB (Rust) to 40 MB (Python). Default 2 GiB.
    pub cache_bytes: u64,
    /// What compiles components in a process of its own, within `limits.compile_timeout` and
    /// `limits.compile_memory_bytes`. Without one they are compiled in this process, without such
    /// limits: for tools, whose users bring the components themselves.
    pub compiler: Option<CompilerProgram>,
    /// Threads on which guests run. They are the host's own, so that a guest that spins takes its
    /// turn with other guests and with nobody else. Half as many more, of lower priority, take the
    /// guests that compute much: on two processors, guests that spin get one of them at most.
    pub guest_threads: usize,
    /// Calls of guests that may be under way at a time, waiting for their services included; more
    /// wait. With the limit of memory this bounds what guests can hold together. Default 256.
    pub simultaneous_calls: usize,
    /// What a call may cost.
    pub limits: Limits,
    /// Addresses that a datasource's configuration does not suffice to grant, because whoever may
    /// use the API writes it: loopback, link-local (and with it the metadata services), multicast,
    /// unspecified and reserved ones.
    pub allowed_hosts: Vec<AllowedHost>,
    /// When not empty, datasources reach only hosts that match an entry here or in
    /// `allowed_hosts`, whatever their configuration grants.
    pub only_hosts: Vec<AllowedHost>,
    /// Files and folders (with everything below) that datasources may read. Paths are absolute;
    /// symbolic links are followed before a path is compared.
    pub allowed_files: Vec<PathBuf>,
    /// Who listens in on requests, or answers them; for tools. None in a server.
    pub wire: Option<Arc<dyn Wire>>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            cache_folder: None,
            cache_bytes: 2 << 30,
            compiler: None,
            guest_threads: std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8)),
            simultaneous_calls: 256,
            limits: Limits::default(),
            allowed_hosts: Vec::new(),
            only_hosts: Vec::new(),
            allowed_files: Vec::new(),
            wire: None,
        }
    }
}

/// Bounds on what one call of a guest may cost. Reaching one fails the call, never the host; the
/// error names the field.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of one instance, in bytes. Default 64 MiB.
    pub memory_bytes: usize,
    /// Stack of one instance, in bytes. Default 512 KiB.
    pub stack_bytes: usize,
    /// Time of one `poll`, `receive` or `execute`, waiting included. Default 60 s.
    pub call_timeout: Duration,
    /// Time of one `describe` or `tables`. Default 5 s.
    pub describe_timeout: Duration,
    /// Size of a component file, in bytes. Default 64 MiB.
    pub component_bytes: u64,
    /// Time to compile one component. Default 300 s (Python takes 20 s of an idle machine).
    pub compile_timeout: Duration,
    /// Memory (as address space) of the process that compiles one component, in bytes. Default
    /// 4 GiB.
    pub compile_memory_bytes: usize,
    /// Bytes that a guest may hand over in one call to the host, as the engine counts them.
    /// Default 32 MiB.
    pub hostcall_bytes: usize,
    /// Rows that one call may put into its sink. Default 1,000,000.
    pub rows_per_call: usize,
    /// Memory that the rows of one call may take, in bytes. Default 512 MiB.
    pub row_bytes_per_call: usize,
    /// Batches that the sink may refuse before the call fails, also if the driver does not care.
    /// Default 100.
    pub refused_batches: usize,
    /// Texts of a driver's description of itself, or of a datasource's tables, in bytes: names,
    /// descriptions and defaults together. Default 4 MiB.
    pub metadata_bytes: usize,
    /// Tables of one datasource. Default 1,000.
    pub tables_per_datasource: usize,
    /// Columns of one table. Default 256.
    pub columns_per_table: usize,
    /// Keys and values that a datasource keeps between calls, in bytes. Default 64 KiB.
    pub state_bytes: usize,
    /// Requests that one call may send. Default 10,000.
    pub requests_per_call: usize,
    /// Requests of one datasource that may be under way at a time, answers that are not read to
    /// their end included. More wait, up to `request_timeout`. Default 16.
    pub concurrent_requests: usize,
    /// Requests of one datasource that begin per second; as many as come in a second may begin at
    /// once. More wait, up to `request_timeout`. Default 200.
    pub requests_per_second: u32,
    /// Redirects that a GET of a session follows, each within the grants. Default 0: redirects are
    /// answers.
    pub redirects: usize,
    /// Time until a connection stands. Default 10 s.
    pub connect_timeout: Duration,
    /// Time of one request, from connecting to the last byte. Default 30 s.
    pub request_timeout: Duration,
    /// Body of one request, in bytes. Default 8 MiB.
    pub request_bytes: usize,
    /// Body of one response after decompression, in bytes. Default 64 MiB.
    pub response_bytes: usize,
    /// Log lines of one datasource per second; a burst of five times as many passes. Default 20.
    pub log_lines_per_second: u32,
    /// Log lines of one call, dropped ones included. Default 10,000.
    pub log_lines_per_call: usize,
    /// Length of one log line, in bytes; longer ones are cut. Default 1,024.
    pub log_line_bytes: usize,
    /// Length of an error's text, in bytes; longer ones are cut. Default 2,048.
    pub error_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            memory_bytes: 64 * MIB,
            stack_bytes: 512 << 10,
            call_timeout: Duration::from_secs(60),
            describe_timeout: Duration::from_secs(5),
            component_bytes: 64 << 20,
            compile_timeout: Duration::from_secs(300),
            compile_memory_bytes: 4 << 30,
            hostcall_bytes: 32 * MIB,
            rows_per_call: 1_000_000,
            row_bytes_per_call: 512 * MIB,
            refused_batches: 100,
            metadata_bytes: 4 * MIB,
            tables_per_datasource: 1_000,
            columns_per_table: 256,
            state_bytes: 64 << 10,
            requests_per_call: 10_000,
            concurrent_requests: 16,
            requests_per_second: 200,
            redirects: 0,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            request_bytes: 8 * MIB,
            response_bytes: 64 * MIB,
            log_lines_per_second: 20,
            log_lines_per_call: 10_000,
            log_line_bytes: 1_024,
            error_bytes: 2_048,
        }
    }
}
