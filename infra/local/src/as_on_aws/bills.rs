//! What Lambda would bill for the events of a stack.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

/// The prices of Lambda in us-east-1 for x86_64, in dollars: a million requests, and a GB for a million
/// milliseconds.
const REQUESTS: f64 = 0.20;
const GB_MS: f64 = 0.016_666_7;

/// The events of all functions.
#[derive(Debug, Default)]
pub(super) struct Bills(Mutex<BTreeMap<String, Bill>>);

/// The events of a function, in milliseconds.
#[derive(Debug, Default)]
struct Bill {
    memory_mb: u64,
    starts: Vec<f64>,
    first: Vec<f64>,
    warm: Vec<f64>,
}

impl Bills {
    /// Adds an event, and the start of its process if it was the first one.
    pub(super) fn add(&self, function: &str, memory_mb: u64, duration: Duration, start: Option<Duration>) {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let mut bills = self.0.lock().expect("nothing panics while it holds this lock");
        let bill = bills.entry(function.to_owned()).or_default();
        bill.memory_mb = memory_mb;
        match start {
            Some(start) => {
                bill.starts.push(ms(start));
                bill.first.push(ms(duration));
            }
            None => bill.warm.push(ms(duration)),
        }
    }

    /// The table of all functions, if there was any event.
    pub(super) fn table(&self) -> Option<String> {
        let bills = self.0.lock().expect("nothing panics while it holds this lock");
        let mut table = format!(
            "{:<28}{:>6}{:>10}{:>10}{:>10}{:>10}{:>8}{:>13}\n",
            "as on AWS", "MB", "start ms", "first", "median", "p99", "billed", "$ a million"
        );
        for (function, bill) in bills.iter() {
            let Bill { memory_mb, starts, first, warm } = bill;
            // A function that had its first events only is told by them.
            let events = if warm.is_empty() { first } else { warm };
            let billed = events.iter().map(|ms| ms.ceil()).sum::<f64>() / events.len() as f64;
            let dollars = REQUESTS + billed * *memory_mb as f64 / 1024.0 * GB_MS;
            let _ = writeln!(
                table,
                "{function:<28}{memory_mb:>6}{:>10}{:>10}{:>10}{:>10}{:>8}{dollars:>13.2}",
                shown(starts, 0.5),
                shown(first, 0.5),
                shown(warm, 0.5),
                shown(warm, 0.99),
                at(events, 0.5).map_or(0.0, f64::ceil),
            );
        }
        (!bills.is_empty()).then_some(table)
    }
}

fn shown(all: &[f64], share: f64) -> String {
    at(all, share).map(|ms| format!("{ms:.1}")).unwrap_or_default()
}

/// The value that this share of all does not exceed.
fn at(all: &[f64], share: f64) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Bills;

    #[test]
    fn whole_milliseconds_are_billed() {
        let bills = Bills::default();
        assert_eq!(bills.table(), None);
        let ms = Duration::from_micros;
        bills.add("greet", 512, ms(30_000), Some(ms(55_500)));
        for duration in [20_100, 20_900, 21_000] {
            bills.add("greet", 512, ms(duration), None);
        }
        let table = bills.table().unwrap();
        let line: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        // 0.20 dollars, and 21 ms of half a GB.
        assert_eq!(line, ["greet", "512", "55.5", "30.0", "20.9", "21.0", "21", "0.38"]);
    }
}
