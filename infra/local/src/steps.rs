//! What a person sees while the stack starts: each step, and how long it took.

use std::time::Instant;

/// Runs one step, and says so before and after. A step may print lines of its own in between.
pub(crate) async fn step<T, E>(name: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    eprintln!("{name} …");
    let started = Instant::now();
    let done = work.await?;
    eprintln!("    done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(done)
}
