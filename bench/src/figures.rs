//! The names of figures that more than one place uses: figures of the same name stand in the same column.

pub(crate) const ACKS: &str = "acks/s";
pub(crate) const DELIVERIES: &str = "deliveries/s";
pub(crate) const BOTH: &str = "acked and delivered/s";
pub(crate) const P50: &str = "publish p50 ms";
pub(crate) const SERVER_CPU: &str = "server CPU s/1,000";
pub(crate) const DATABASE_CPU: &str = "database CPU s/1,000";
pub(crate) const ALL_CPU: &str = "CPU s/1,000";
pub(crate) const START_UP: &str = "start-up s";
pub(crate) const RESIDENT: &str = "resident MiB";

/// From publish to acknowledgement: the median, the 99th percentile and the longest.
pub(crate) const PUBLISH: [&str; 3] = [P50, "publish p99 ms", "publish max ms"];
/// From publish to the arrival of the delivery: the median, the 99th percentile and the longest.
pub(crate) const RECEIVE: [&str; 3] = ["receive p50 ms", "receive p99 ms", "receive max ms"];
