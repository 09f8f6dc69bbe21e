use super::*;

fn health() -> Health {
    Health::new("tributary", Timestamp::UNIX_EPOCH, Duration::from_secs(60))
}

/// SPEC §9: ready when it holds the lock, streams or backfills, and is not frozen.
#[test]
fn is_ready_only_while_it_works() {
    let table = [
        (Phase::Starting, false, false),
        (Phase::WaitingForLock, false, false),
        (Phase::Backfilling, false, true),
        (Phase::Streaming, false, true),
        (Phase::Streaming, true, false),
        (Phase::Backfilling, true, false),
        (Phase::Halted, false, false),
    ];
    for (phase, frozen, expected) in table {
        let health = health();
        health.set_phase(phase);
        health.set_frozen(frozen.then_some("it stands still"));
        let complaint = unready_because(&health.status(), None);
        assert_eq!(complaint.is_none(), expected, "{phase} {frozen}: {complaint:?}");
    }
}

/// SPEC §9: a standby is ready while the daemon that it waits for makes progress.
#[test]
fn a_standby_is_ready_while_the_other_one_works() {
    let health = health();
    health.set_phase(Phase::WaitingForLock);
    assert!(health.unready_because(true).is_some(), "not looked at yet");
    for (because, expected) in [(None, true), (Some("it has halted"), false)] {
        health.set_holder_stands_still(because);
        assert_eq!(health.unready_because(true).is_none(), expected);
        assert!(health.unready_because(false).is_some());
    }
    // Once it has taken over, its own work counts.
    health.set_phase(Phase::Streaming);
    assert_eq!(health.unready_because(true), None);
    health.set_frozen(Some("it stands still"));
    assert_eq!(health.unready_because(true).as_deref(), Some("it stands still"));
}

/// P9: the reason is reported, and gone once the daemon goes on.
#[test]
fn a_halt_has_its_reason_until_the_next_phase() {
    let health = health();
    health.set_phase(Phase::Streaming);
    health.set_halted(Some("2,000 rows would be deleted".into()));
    assert_eq!(health.status().phase, Phase::Halted);
    assert_eq!(
        unready_because(&health.status(), None).as_deref(),
        Some("2,000 rows would be deleted")
    );
    health.set_phase(Phase::Halted);
    assert!(health.status().halted.is_some());
    health.set_phase(Phase::Streaming);
    assert_eq!(health.status().halted, None);
    assert_eq!(unready_because(&health.status(), None), None);
    let failed = Status { phase: Phase::Starting, ..health.status() };
    let shown = unready_because(&failed, Some("target: away")).unwrap_or_default();
    assert!(shown.ends_with("after: target: away"), "{shown}");
}

/// SPEC §9: sessions that open and fail at once are no work.
#[test]
fn a_failure_counts_until_something_is_committed() {
    let health = health();
    let is_ready = || health.unready_because(false).is_none();
    health.set_checkpoint(Lsn(100));
    health.set_failure("target: its disk is full".into());
    health.set_source_lsn(Lsn(130));
    for phase in [Phase::Streaming, Phase::Backfilling] {
        health.set_phase(phase);
        health.set_checkpoint(Lsn(100));
        assert!(!is_ready(), "{phase}");
    }
    health.set_phase(Phase::Streaming);
    health.set_checkpoint(Lsn(110));
    assert!(!is_ready(), "log without a change of ours");
    health.recovered();
    assert!(is_ready());
    // With nothing to be done it may be over.
    health.set_failure("target: away".into());
    health.set_source_lsn(Lsn(110));
    assert!(!is_ready(), "the stream may lag");
    health.set_end_of_source(Lsn(120));
    health.set_end_of_source(Lsn(130));
    assert!(!is_ready());
    health.set_checkpoint(Lsn(120));
    assert!(is_ready());
}

#[test]
fn is_dead_when_the_loop_is_silent_for_longer_than_the_bound() {
    let health = health();
    let table = [(0, 0, true), (0, 60, true), (0, 61, false), (30, 90, true), (30, 91, false)];
    for (ticked, age, alive) in table {
        health.ticked.store(ticked * 1000, Ordering::Relaxed);
        assert_eq!(health.dead_at(Duration::from_secs(age)).is_none(), alive, "{ticked} {age}");
    }
    health.tick();
    assert!(health.dead_because().is_none());
}

#[test]
fn lag_follows_both_positions() {
    let health = health();
    health.set_checkpoint(Lsn(100));
    assert_eq!(health.status().lag_bytes, None);
    health.set_source_lsn(Lsn(130));
    assert_eq!(health.status().lag_bytes, Some(30));
    assert!(health.is_behind());
    health.set_checkpoint(Lsn(130));
    assert!(!health.is_behind());
    assert_eq!(health.status().lag_bytes, Some(0));
    health.set_lag_seconds(-0.2);
    assert_eq!(health.status().lag_seconds, Some(0.0));
}
