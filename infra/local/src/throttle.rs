//! Throttling of routes: a token bucket for each, as in API Gateway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::template::Throttle;

/// The buckets of the throttled routes, by route key.
#[derive(Debug)]
pub(crate) struct Buckets(HashMap<String, Bucket>);

impl Buckets {
    /// New buckets, which are full.
    pub(crate) fn new(routes: impl Iterator<Item = (String, Option<Throttle>)>) -> Self {
        let throttled = routes.filter_map(|(key, throttle)| Some((key, Bucket::new(throttle?))));
        Self(throttled.collect())
    }

    /// Whether the route may take another request now.
    pub(crate) fn take(&self, key: &str) -> bool {
        self.0.get(key).is_none_or(Bucket::take)
    }
}

/// The token bucket of a route.
#[derive(Debug)]
struct Bucket {
    throttle: Throttle,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(throttle: Throttle) -> Self {
        Self { throttle, state: Mutex::new((throttle.burst, Instant::now())) }
    }

    /// Whether the bucket lets a request pass. A limit of 0 lets none pass.
    fn take(&self) -> bool {
        let Throttle { rate, burst } = self.throttle;
        if rate <= 0.0 {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let tokens = (state.0 + now.duration_since(state.1).as_secs_f64() * rate).min(burst);
        let passes = tokens >= 1.0;
        *state = (if passes { tokens - 1.0 } else { tokens }, now);
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_no_more_than_the_rate() {
        let bucket = Bucket::new(Throttle { rate: 0.001, burst: 2.0 });
        assert_eq!([bucket.take(), bucket.take(), bucket.take()], [true, true, false]);
        let never = Bucket::new(Throttle { rate: 0.0, burst: 5.0 });
        assert!(!never.take());
    }

    #[test]
    fn the_rate_fills_it_again() {
        let bucket = Bucket::new(Throttle { rate: 1e9, burst: 1.0 });
        assert!((0..100).all(|_| bucket.take() || bucket.take() || bucket.take()));
    }
}
