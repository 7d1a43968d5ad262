//! The time that the host goes by: this machine's clocks, unless a test against a simulated tenant sets others.
//!
//! The invariant: without [`ENVIRONMENT`] every function here is the standard library's. With it (which `run` allows only
//! if every endpoint is on this machine) time starts at a chosen instant and runs faster, and every wait is shorter by the
//! same factor, so that days of a simulated tenant pass in seconds. Timeouts of the network stay real: so is the network.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The environment variable of the test clock: `SIMULATED_MS@REAL_MS*SPEED`, the times in milliseconds since 1970. At the
/// real time `REAL_MS` the simulated time was `SIMULATED_MS`, and it passes `SPEED` times as fast.
pub const ENVIRONMENT: &str = "M365_PIPE_TEST_CLOCK";

/// The shortest wait under a test clock: waits that scaling would make nothing would keep a processor busy.
const SHORTEST: Duration = Duration::from_millis(1);

static TEST: OnceLock<TestClock> = OnceLock::new();

struct TestClock {
    /// The simulated time at `anchor`.
    start: SystemTime,
    anchor: Instant,
    speed: f64,
}

impl TestClock {
    fn passed(&self) -> Duration {
        self.anchor.elapsed().mul_f64(self.speed)
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    system_time().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The time of day.
pub fn system_time() -> SystemTime {
    TEST.get().map_or_else(SystemTime::now, |test| test.start + test.passed())
}

/// A time that never goes back.
pub fn instant() -> Instant {
    TEST.get().map_or_else(Instant::now, |test| test.anchor + test.passed())
}

/// How long to really wait, for a wait of `time` by the clocks above.
pub fn real(time: Duration) -> Duration {
    TEST.get().map_or(time, |test| time.div_f64(test.speed).max(SHORTEST))
}

/// Goes by the test clock that `setting` describes, from now on and in the whole process.
///
/// # Errors
/// A sentence that says what is wrong with the setting.
pub fn set(setting: &str) -> Result<(), String> {
    let wrong = || format!("{ENVIRONMENT} is {setting:?}; it has to be SIMULATED_MS@REAL_MS*SPEED.");
    let (simulated, rest) = setting.split_once('@').ok_or_else(wrong)?;
    let (real, speed) = rest.split_once('*').ok_or_else(wrong)?;
    let simulated: u64 = simulated.parse().map_err(|_| wrong())?;
    let real: u64 = real.parse().map_err(|_| wrong())?;
    let speed: f64 = speed.parse().map_err(|_| wrong())?;
    if !(1.0..=1e6).contains(&speed) {
        return Err(format!("{ENVIRONMENT} has a speed of {speed}; it has to lie between 1 and 1000000."));
    }
    let anchor = Instant::now();
    let since = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_millis(real)).unwrap_or_default();
    let start = UNIX_EPOCH + Duration::from_millis(simulated) + since.mul_f64(speed);
    TEST.set(TestClock { start, anchor, speed }).map_err(|_| format!("{ENVIRONMENT} was taken up already."))
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, since the clock is the process's: it leaves this one at a speed that other tests don't notice.
    #[test]
    fn a_test_clock_starts_where_it_is_told_and_refuses_nonsense() {
        for text in ["", "1@2", "1*2", "x@2*3", "1@2*0.5", "1@2*inf", "1@2*1e9", "-1@2*1"] {
            assert!(set(text).is_err(), "{text}");
        }
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        set(&format!("{real}@{real}*1")).unwrap();
        assert!(set("1@2*1").is_err(), "only once");
        let difference = system_time()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis()
            .abs_diff(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis());
        assert!(difference < 1_000, "{difference}");
        let before = instant();
        assert!(instant() >= before);
        assert_eq!(super::real(Duration::from_secs(3)), Duration::from_secs(3));
    }
}
