//! Prints the steps of the start, and how long each took.

use std::time::Instant;

/// Runs a step, and prints its name before and its duration after it. A step may print lines of its own.
pub(crate) async fn step<T, E>(name: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    eprintln!("{name} …");
    let started = Instant::now();
    let done = work.await?;
    eprintln!("    done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(done)
}
