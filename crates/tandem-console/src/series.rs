//! Numbers over time, for charts: the last quarter of an hour by the second, the last day by the
//! minute. In memory only; a daemon that was restarted begins anew, and the chart shows a gap.

use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tandem_wire::api::{ClusterStatus, ModuleStatus};

/// Points by the second: fifteen minutes.
const SECONDS_MAX: usize = 900;
/// Points by the minute: a day.
const MINUTES_MAX: usize = 1440;
const MINUTE_MS: u64 = 60_000;

/// What a module's mirror did on one node at one moment.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Changes that were given a number (serving) or applied (following), a second.
    pub changes: f64,
    /// Bytes of changes that were sent to the other node, a second.
    pub bytes: f64,
    /// How long the other node's disk took for what was acknowledged last, in microseconds.
    pub answer_us: Option<u64>,
    /// Changes on their way: not yet applied by the other node.
    pub waiting: u64,
    /// Acknowledged writes that exist only here.
    pub exposure_bytes: u64,
    /// The age of the oldest of them.
    pub exposure_ms: u64,
    /// Resynchronisation: bytes compared a second.
    pub resync_bytes: f64,
}

#[derive(Default)]
struct Line {
    last: Option<Last>,
    seconds: VecDeque<Point>,
    minutes: VecDeque<Point>,
}

struct Last {
    at_ms: u64,
    position: u64,
    sent: u64,
    resync_done: Option<u64>,
}

/// All lines, by node and module.
#[derive(Default)]
pub struct Series(Mutex<HashMap<(u8, String), Line>>);

/// Which points.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// By the second.
    Second,
    /// By the minute.
    Minute,
}

impl Series {
    /// Takes a point of everything that answers. Once a second.
    pub fn sample(&self, status: &ClusterStatus, at_ms: u64) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for node in status.nodes.iter().filter(|node| node.answers) {
            for module in node.modules.iter().filter(|module| module.mirror.running) {
                let line = lines.entry((node.node, module.name.clone())).or_default();
                line.take(module, at_ms);
            }
        }
    }

    /// The points of a module on a node, oldest first.
    #[must_use]
    pub fn points(&self, node: u8, module: &str, step: Step) -> Vec<Point> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get(&(node, module.to_owned())) else {
            return Vec::new();
        };
        match step {
            Step::Second => line.seconds.iter().copied().collect(),
            Step::Minute => line.minutes.iter().copied().collect(),
        }
    }
}

impl Line {
    fn take(&mut self, module: &ModuleStatus, at_ms: u64) {
        let mirror = &module.mirror;
        let (mut changes, mut bytes, mut resync_bytes) = (0.0, 0.0, 0.0);
        if let Some(last) = &self.last
            && at_ms > last.at_ms
        {
            let seconds = (at_ms - last.at_ms) as f64 / 1000.0;
            // A new session begins to count at zero.
            changes = mirror.position.saturating_sub(last.position) as f64 / seconds;
            bytes = mirror.sent_bytes.saturating_sub(last.sent) as f64 / seconds;
            if let (Some(before), Some(now)) = (last.resync_done, mirror.resync_done_bytes) {
                resync_bytes = now.saturating_sub(before) as f64 / seconds;
            }
        }
        self.last = Some(Last {
            at_ms,
            position: mirror.position,
            sent: mirror.sent_bytes,
            resync_done: mirror.resync_done_bytes,
        });
        let serving = mirror.role == "serving";
        let waiting = mirror.position.saturating_sub(mirror.acknowledged);
        let point = Point {
            at_ms,
            changes,
            bytes,
            answer_us: mirror.answer_us,
            waiting: if serving { waiting } else { 0 },
            exposure_bytes: mirror.exposure_bytes,
            exposure_ms: mirror.exposure_ms,
            resync_bytes,
        };
        push(&mut self.seconds, point, SECONDS_MAX);
        match self.minutes.back_mut() {
            Some(minute) if minute.at_ms / MINUTE_MS == at_ms / MINUTE_MS => minute.worst(&point),
            Some(_) | None => push(&mut self.minutes, point, MINUTES_MAX),
        }
    }
}

impl Point {
    /// A minute shows the largest of its seconds: a peak must not vanish in a mean.
    fn worst(&mut self, other: &Self) {
        self.changes = self.changes.max(other.changes);
        self.bytes = self.bytes.max(other.bytes);
        self.answer_us = self.answer_us.max(other.answer_us);
        self.waiting = self.waiting.max(other.waiting);
        self.exposure_bytes = self.exposure_bytes.max(other.exposure_bytes);
        self.exposure_ms = self.exposure_ms.max(other.exposure_ms);
        self.resync_bytes = self.resync_bytes.max(other.resync_bytes);
    }
}

fn push(points: &mut VecDeque<Point>, point: Point, max: usize) {
    points.push_back(point);
    if points.len() > max {
        points.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_wire::api::{MirrorSummary, NodeStatus};

    fn status(position: u64, exposure_bytes: u64) -> ClusterStatus {
        let mirror = MirrorSummary {
            running: true,
            role: "serving".into(),
            position,
            acknowledged: position,
            sent_bytes: position * 100,
            answer_us: (position == 700).then_some(9000),
            exposure_bytes,
            ..MirrorSummary::default()
        };
        let module = ModuleStatus {
            name: "videeos".into(),
            mirror,
            ..ModuleStatus::default()
        };
        let node = NodeStatus {
            node: 1,
            answers: true,
            modules: vec![module],
            ..NodeStatus::default()
        };
        ClusterStatus {
            nodes: vec![node],
            ..ClusterStatus::default()
        }
    }

    #[test]
    fn a_peak_of_one_second_shows_in_the_minute() {
        let series = Series::default();
        for second in 0..120 {
            let exposed = if second == 70 { 5000 } else { 0 };
            series.sample(&status(second * 10, exposed), MINUTE_MS + second * 1000);
        }
        let minutes = series.points(1, "videeos", Step::Minute);
        assert_eq!(minutes.len(), 2);
        assert_eq!(minutes[1].exposure_bytes, 5000);
        let seconds = series.points(1, "videeos", Step::Second);
        assert!((seconds[50].changes - 10.0).abs() < 0.01);
        assert!((seconds[50].bytes - 1000.0).abs() < 0.01);
        assert_eq!(
            [minutes[0].answer_us, minutes[1].answer_us],
            [None, Some(9000)]
        );
    }

    #[test]
    fn the_lines_have_an_end() {
        let series = Series::default();
        for second in 0..100_000 {
            series.sample(&status(second, 0), second * 1000);
        }
        assert_eq!(series.points(1, "videeos", Step::Second).len(), SECONDS_MAX);
        assert_eq!(series.points(1, "videeos", Step::Minute).len(), MINUTES_MAX);
    }
}
