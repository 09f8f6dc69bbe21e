use std::collections::HashSet;

use super::*;
use crate::error::{ErrorKind, Server};
use crate::facts::NoteKind;
use crate::status::{LeftOut, LeftOutRows};
use crate::unify::{ConflictKind, Severity};

/// What `/metrics` shows after `record`.
fn rendered(record: impl FnOnce()) -> String {
    let recorder = builder().unwrap().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        record();
    });
    recorder.handle().render()
}

fn slot_log(status: &str) -> SlotLog {
    SlotLog {
        retained_bytes: 10,
        safe_bytes: None,
        wal_status: Some(status.into()),
        seconds_to_loss: Some(60.0),
    }
}

#[test]
fn names_are_unique_prefixed_and_say_what_they_count() {
    let names: HashSet<&str> = METRICS.iter().map(|metric| metric.0).collect();
    assert_eq!(names.len(), METRICS.len());
    for Metric(name, kind, _, help) in METRICS {
        assert!(name.starts_with("tributary_"), "{name}");
        assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
        assert!(help.ends_with('.'), "{name}");
    }
}

/// A scrape right after the start shows every series; what is not known yet is not a number.
#[test]
fn every_series_is_there_from_the_start() {
    let text = rendered(|| {
        start_feeds(["orders"].into_iter());
        collect_process();
    });
    let samples = |name: &str| {
        let ends = |rest: &str| {
            let rest = rest.strip_prefix("_count").unwrap_or(rest);
            rest.starts_with([' ', '{'])
        };
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(ends)).count()
    };
    for Metric(name, ..) in METRICS {
        assert!(samples(name) > 0, "{name} is missing in\n{text}");
    }
    for (name, series) in [
        (ERRORS, 30),
        (STAGE_SECONDS, 5),
        (NOTES, 13),
        (CHANGES, 3),
        (CONFLICTS, 2 * ConflictKind::ALL.len()),
        (BACKFILL_STAGE, 12),
        ("process_resident_memory_bytes", 1),
        ("process_cpu_seconds_total", 1),
    ] {
        assert_eq!(samples(name), series, "{name} in\n{text}");
    }
    for line in [
        "tributary_lag_seconds NaN",
        "tributary_rows_applied_total{table=\"transactions\",op=\"delete\"} 0",
        "tributary_commit_delay_seconds_bucket{le=\"+Inf\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn every_metric_that_is_set_is_described() {
    let text = rendered(|| {
        count_rows_applied("profiles", "insert", 3);
        count_batch(2, Duration::from_millis(20), Timestamp::from_second(1_750_000_000).unwrap());
        count_changes("xendit", "update", 4);
        let kind = NoteKind::TimezoneAssumed;
        count_notes([Note { kind, field: "created".into(), raw: "private".into() }].iter());
        count_reconnect("source");
        set_checkpoint_lsn(Lsn(16));
        set_source_lsn(Lsn(20));
        set_lag_bytes(4);
        set_lag_seconds(0.25);
        set_backfill(5, 6);
        count_backfill_rows(8);
        set_conflicts(&[(ConflictKind::Underpaid, Severity::Review, 7)]);
        set_conflicts_open(7, 0);
        let rows = LeftOut { skipped: 9, excluded: 0 };
        set_left_out(&LeftOutRows::from([("orders".into(), rows)]));
        set_rollout(&crate::status::Rollout::default());
        let ended_at = Timestamp::from_second(1_750_000_001).unwrap();
        set_verified([("profiles", 2)].into_iter(), 3, ended_at);
        set_verified_share(0.5);
        set_slot_log(Some(&slot_log("extended")));
        set_halted(true);
        set_phase(Phase::Streaming);
        set_leading(true);
        let source_commit = Timestamp::from_second(1_750_000_000).ok();
        let batch = Batch { rows: 3, bytes: 2_000, source_commit, was_refused: true };
        count_batch_content(&batch, Timestamp::from_second(1_750_000_002).unwrap());
        time(Stage::Fetch, Duration::from_millis(2));
        count_rows_unchanged("profiles", 6);
        count_error(ErrorKind::Unavailable, Some(Server::Source));
        set_backfill_stage(Some(crate::status::Stage::People));
        set_password_expiry("target", f64::INFINITY);
        set_slot_active(true);
        set_queue(2, 300);
    });
    for line in [
        "tributary_rows_applied_total{table=\"profiles\",op=\"insert\"} 3",
        "tributary_transactions_total 2",
        "tributary_batches_total 1",
        "tributary_batch_seconds_bucket{le=\"0.025\"} 1",
        "tributary_last_commit_timestamp_seconds 1750000000",
        "tributary_changes_total{source=\"xendit\",op=\"update\"} 4",
        "tributary_notes_total{kind=\"timezone_assumed\"} 1",
        "tributary_reconnects_total{server=\"source\"} 1",
        "tributary_reconnects_total{server=\"target\"} 0",
        "tributary_lag_bytes 4",
        "tributary_lag_seconds 0.25",
        "tributary_backfill_rows_done 5",
        "tributary_backfill_rows_read_total 8",
        "tributary_rows_left_out{source=\"orders\",reason=\"skipped\"} 9",
        "tributary_rows_left_out{source=\"orders\",reason=\"excluded\"} 0",
        "tributary_conflicts{kind=\"underpaid\",severity=\"review\"} 7",
        "tributary_conflicts{kind=\"mojibake\",severity=\"info\"} 0",
        "tributary_conflicts_open{severity=\"review\"} 7",
        "tributary_rollout_percent 100",
        "tributary_rollout_outside_rows{table=\"profiles\"} 0",
        "tributary_verify_differences{table=\"profiles\"} 2",
        "tributary_verify_unsettled 3",
        "tributary_verify_last_timestamp_seconds 1750000001",
        "tributary_verified_share 0.5",
        "tributary_slot_retained_bytes 10",
        "tributary_slot_safe_bytes inf",
        "tributary_slot_wal_status{status=\"extended\"} 1",
        "tributary_slot_wal_status{status=\"lost\"} 0",
        "tributary_slot_loss_seconds 60",
        "tributary_halted 1",
        "tributary_phase{phase=\"streaming\"} 1",
        "tributary_phase{phase=\"starting\"} 0",
        "tributary_is_leader 1",
        "tributary_batch_rows_bucket{le=\"10\"} 1",
        "tributary_batches_refused_total 1",
        "tributary_commit_delay_seconds_sum 2",
        "tributary_source_commit_timestamp_seconds 1750000000",
        "tributary_stage_seconds_bucket{stage=\"fetch\",le=\"0.0025\"} 1",
        "tributary_rows_unchanged_total{table=\"profiles\"} 6",
        "tributary_errors_total{kind=\"unavailable\",server=\"source\"} 1",
        "tributary_backfill_stage{stage=\"people\"} 1",
        "tributary_backfill_stage{stage=\"rows\"} 0",
        "tributary_password_expiry_timestamp_seconds{server=\"target\"} inf",
        "tributary_slot_active 1",
        "tributary_queue_bytes 300",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
    }
    for Metric(name, ..) in METRICS {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help in\n{text}");
    }
    assert!(!text.contains("private"));
}

/// The slot that one daemon saw being lost may have been replaced by the daemon that took over: an alert on the first one's word
/// would never clear.
#[test]
fn what_a_former_leader_saw_is_forgotten() {
    let at = Timestamp::from_second(1_750_000_000).unwrap();
    let text = rendered(|| {
        set_slot_log(Some(&slot_log("lost")));
        set_verified([("profiles", 2)].into_iter(), 3, at);
        set_slot_log(None);
        forget_verified();
    });
    let is_theirs =
        |line: &&str| line.starts_with("tributary_slot_") || line.starts_with("tributary_verif");
    let samples: Vec<&str> = text.lines().filter(is_theirs).collect();
    assert!(samples.len() > 12, "{samples:#?}");
    assert!(samples.iter().all(|line| line.ends_with(" NaN")), "{samples:#?}");
}
