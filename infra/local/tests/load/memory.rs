//! How much memory the server may take under the limits that it was given, and how much it took.

use crate::Load;

const MB: u64 = 1 << 20;
const QUERY_MEMORY_MB_MAX: u64 = 4;
const CACHE_MEMORY_MB_MAX: u64 = 16;
const COMMIT_QUEUE_MB_MAX: u64 = 16;
/// Of one tail: its socket's buffers, its pipeline and what it remembers of what it told.
const TAIL_KB_MAX: u64 = 256;
/// Code, runtime and threads, beyond what the server took when it had started.
const PROCESS_MB_MAX: u64 = 32;

/// The limits, and no others that these questions meet.
pub(crate) fn config() -> String {
    format!(
        "auth_enabled: false
limits_config: {{max_concurrent_tail_requests: 0}}
logbarn:
  commit_window: 200ms
  query_memory_max: {QUERY_MEMORY_MB_MAX}MB
  cache_memory_max: {CACHE_MEMORY_MB_MAX}MB
  commit_queue_bytes_max: {COMMIT_QUEUE_MB_MAX}MB
"
    )
}

/// The most that the server may take: named parts, in bytes.
pub(crate) struct Bound(Vec<(String, u64)>);

impl Bound {
    /// Under a load, of a server that took so much when it had started.
    pub(crate) fn of(load: Load, started_bytes: Option<u64>) -> Bound {
        let (queries, tails) = (load.queries as u64, load.tails as u64);
        Bound(vec![
            ("started".to_owned(), started_bytes.unwrap_or_default()),
            ("process".to_owned(), PROCESS_MB_MAX * MB),
            (format!("{queries} x query_memory_max"), queries * QUERY_MEMORY_MB_MAX * MB),
            ("cache_memory_max".to_owned(), CACHE_MEMORY_MB_MAX * MB),
            ("commit_queue_bytes_max".to_owned(), COMMIT_QUEUE_MB_MAX * MB),
            (format!("{tails} tails"), tails * TAIL_KB_MAX * 1024),
        ])
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }

    /// True as well where memory cannot be measured.
    pub(crate) fn holds(&self, peak_bytes: Option<u64>) -> bool {
        peak_bytes.is_none_or(|peak| peak <= self.bytes())
    }

    /// The peak beside the bound and its parts.
    pub(crate) fn beside(&self, peak_bytes: Option<u64>) -> String {
        let Some(peak) = peak_bytes else {
            return "peak memory cannot be measured here: there is no /proc".to_owned();
        };
        let parts: Vec<String> = self.0.iter().map(|(name, bytes)| format!("{name} {}", bytes / MB)).collect();
        format!("peak memory {} MB, bound {} MB = {}", peak / MB, self.bytes() / MB, parts.join(" + "))
    }
}

/// The most that a process has held in memory so far, from Linux's /proc.
pub(crate) fn peak_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
