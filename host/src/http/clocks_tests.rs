//! The believed time under answers that are right, wrong, and both.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
/// This machine's time less the monotonic one.
const OWN: i64 = 1_795_984_132_000;

fn sample(ahead: i64) -> Sample {
    Sample { base: OWN.saturating_add(ahead), slack: 600 }
}

/// A clock after answers that were so far ahead of this machine's.
fn after(answers: &[i64]) -> ServiceClock {
    let mut clock = ServiceClock::default();
    for ahead in answers {
        clock.observe(sample(*ahead), OWN);
    }
    clock
}

fn ahead(answers: &[i64]) -> i64 {
    after(answers).base(OWN) - OWN
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a minority says, however far away and in whatever order, the time of the others is believed; with the
    /// machine's clock right or wrong.
    #[test]
    fn a_minority_of_answers_changes_nothing(
        skew in prop::sample::select(vec![0, 25 * 60_000, -25 * 60_000, 3 * HOUR, -3 * HOUR, 400 * DAY]),
        wrong in prop::collection::vec(any::<i64>(), 0..8),
        order in any::<u64>(),
    ) {
        let right = wrong.len() + 4;
        let mut answers: Vec<i64> = wrong.iter().copied().chain(std::iter::repeat_n(skew, right)).collect();
        fastrand::Rng::with_seed(order).shuffle(&mut answers);
        let mut clock = after(&answers);
        prop_assert_eq!(clock.base(OWN) - OWN, skew);
        // And then it stays, whatever single answer follows.
        for ahead in wrong {
            clock.observe(sample(ahead), OWN);
            prop_assert_eq!(clock.base(OWN) - OWN, skew);
            clock.observe(sample(skew), OWN);
        }
    }

    /// Up to three wrong answers, even the first ones, even all the same: time never goes forward, nor back by more than a day.
    #[test]
    fn a_few_answers_never_move_time_far(answers in prop::collection::vec(any::<i64>(), 0..4), same in any::<bool>()) {
        let answers: Vec<i64> = if same { answers.iter().map(|_| answers[0]).collect() } else { answers };
        prop_assert!((-DAY..=0).contains(&ahead(&answers)), "{}", ahead(&answers));
    }

    /// No times, however odd, overflow anything.
    #[test]
    fn any_times_are_taken(times in prop::collection::vec((any::<u32>(), any::<bool>()), 1..20)) {
        let clocks = Clocks::new();
        for (seconds, far) in times {
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(seconds) << if far { 8 } else { 0 });
            let now = clock::instant();
            clocks.told("s", "s", Told { sent: now, received: now, date, counts: true }, i64::from(seconds));
            clocks.now_ms("s", i64::MAX);
            clocks.now_ms("s", i64::MIN);
        }
    }
}

#[test]
fn the_first_answers_find_a_wrong_clock() {
    // A machine that is ahead lists a future that the service doesn't know: one answer is enough to be careful.
    assert_eq!(ahead(&[-3 * HOUR]), -3 * HOUR);
    assert_eq!(ahead(&[-3 * HOUR; 4]), -3 * HOUR);
    // One that is behind misses nothing by waiting for more.
    assert_eq!(ahead(&[25 * 60_000; 3]), 0);
    assert_eq!(ahead(&[25 * 60_000; 4]), 25 * 60_000);
    assert!(after(&[-3 * HOUR; 3]).in_doubt(OWN) && !after(&[-3 * HOUR; 4]).in_doubt(OWN));
}

#[test]
fn a_lone_answer_that_is_far_off_is_ignored() {
    assert_eq!(ahead(&[-10 * DAY]), 0);
    assert_eq!(ahead(&[10 * DAY]), 0);
    assert_eq!(ahead(&[-20 * HOUR, 0]), 0, "another one agrees with this machine");
    assert!(after(&[-10 * DAY]).in_doubt(OWN) && !after(&[0]).in_doubt(OWN));
}

#[test]
fn small_differences_are_not_corrected() {
    assert_eq!(ahead(&[7_000; 20]), 0);
    assert_eq!(ahead(&[15_000; 20]), 15_000);
}

#[test]
fn a_step_of_this_machines_clock_moves_nothing() {
    for step in [3 * HOUR, -3 * HOUR, 400 * DAY] {
        let mut clock = after(&[0; 31]);
        let stepped = OWN + step;
        assert_eq!(clock.base(stepped), OWN);
        // The answers go on as before: the base of the monotonic clock is the same.
        for _ in 0..40 {
            clock.observe(sample(0), stepped);
            assert_eq!(clock.base(stepped), OWN);
        }
    }
}

#[test]
fn after_a_sleep_two_answers_are_enough() {
    // While the machine slept, the monotonic clock stood still: the service and this machine's clock are ahead of it.
    let mut clock = after(&[0; 31]);
    let awake = OWN + 8 * HOUR;
    assert_eq!(clock.base(awake), OWN, "at first too early, which loses nothing");
    clock.observe(sample(8 * HOUR), awake);
    clock.observe(sample(8 * HOUR), awake);
    assert_eq!(clock.base(awake), awake);
}

#[test]
fn a_service_that_is_set_right_is_believed_when_most_say_so() {
    let mut clock = after(&[HOUR; 31]);
    for _ in 0..31 {
        clock.observe(sample(0), OWN);
    }
    assert_eq!(clock.base(OWN), OWN);
}

#[test]
fn a_date_out_of_bounds_is_replaced_by_the_believed_time() {
    let clocks = Clocks::new();
    let told = |ahead: i64, counts: bool| {
        let now = clock::instant();
        let date = system_time(milliseconds(clock::system_time()) + ahead);
        let made = clocks.told("s", "s", Told { sent: now, received: now, date, counts }, 0);
        milliseconds(made) - milliseconds(clock::system_time())
    };
    for _ in 0..3 {
        assert!(told(0, true).abs() < 20_000);
    }
    for ahead in [DAY, 10 * DAY, -10 * DAY, HOUR, -HOUR] {
        assert!(told(ahead, true).abs() < 20_000, "{ahead}");
    }
    assert!((told(15_000, true) - 15_000).abs() < 10_000, "within bounds it is left");
    // What doesn't count moves nothing, however often it comes, and is bounded as well.
    for _ in 0..60 {
        assert!(told(DAY, false).abs() < 20_000);
    }
    assert!(clocks.ahead_ms("s").abs() < 20_000);
}

#[test]
fn gateways_and_caches_are_no_witnesses() {
    let headers = |pairs: &[(&'static str, &'static str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.insert(*name, value.parse().unwrap());
        }
        map
    };
    let json = headers(&[("content-type", "application/json; odata.metadata=minimal")]);
    assert!(counts(200, &json) && counts(400, &json));
    assert!(!counts(503, &json));
    assert!(!counts(200, &headers(&[("content-type", "text/html")])) && !counts(200, &HeaderMap::new()));
    assert!(!counts(200, &headers(&[("content-type", "application/json"), ("age", "86400")])));
}
