//! Long work is done in steps, each a small transaction.

use std::time::{Duration, Instant};

/// What a step should take. It may lock a conversation, and then others wait for it.
const STEP: Duration = Duration::from_millis(50);

/// The number of rows of the first step, and the most.
const FIRST: i64 = 50;
const MOST: i64 = 500;

/// How much the next step of long work takes. It follows how long the steps before have taken, so that a step
/// ends in time on a slow database too.
#[derive(Debug)]
pub struct Pace {
    rows: i64,
}

/// A step that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// How many rows it takes at most.
    pub(crate) rows: i64,
    began: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: FIRST }
    }
}

impl Pace {
    pub(crate) fn begin(&self) -> Step {
        Step { rows: self.rows, began: Instant::now() }
    }

    /// A step has ended that found so many rows. Returns whether there may be more.
    pub(crate) fn end(&mut self, step: Step, found: i64) -> bool {
        let is_full = found >= step.rows;
        self.follow(is_full, step.began.elapsed());
        is_full
    }

    fn follow(&mut self, is_full: bool, took: Duration) {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX).max(1);
        let fit = self.rows.saturating_mul(micros(STEP)) / micros(took);
        // A step that found less says only that it was not too slow.
        if is_full || took > STEP {
            self.rows = fit.clamp(1, MOST.min(self.rows * 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of rows of some steps, where each row takes this long.
    fn steps(pace: &mut Pace, of_row: Duration) -> Vec<i64> {
        let step = |_| {
            let rows = pace.rows;
            pace.follow(true, of_row * u32::try_from(rows).unwrap());
            rows
        };
        (0..6).map(step).collect()
    }

    #[test]
    fn a_step_takes_as_many_rows_as_fit() {
        let mut pace = Pace::default();
        assert_eq!(steps(&mut pace, Duration::from_micros(10)), [50, 100, 200, 400, 500, 500]);
        assert_eq!(steps(&mut pace, Duration::from_millis(1)), [500, 50, 50, 50, 50, 50]);
        assert_eq!(steps(&mut pace, Duration::from_millis(20)), [50, 2, 2, 2, 2, 2]);
        assert_eq!(steps(&mut pace, Duration::from_mins(1)), [2, 1, 1, 1, 1, 1]);
        assert_eq!(steps(&mut pace, Duration::ZERO), [1, 2, 4, 8, 16, 32]);
    }

    #[test]
    fn a_step_that_finds_little_tells_little() {
        let mut pace = Pace::default();
        pace.follow(false, Duration::from_millis(1));
        assert_eq!(pace.rows, FIRST);
        pace.follow(false, STEP * 2);
        assert_eq!(pace.rows, FIRST / 2);
    }
}
