use std::collections::HashSet;

use super::*;
use crate::status::LeftOut;

/// What `/metrics` shows after `record`.
fn rendered(record: impl FnOnce()) -> String {
    let recorder = builder().unwrap().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        record();
    });
    recorder.handle().render()
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
        let ended_at = Timestamp::from_second(1_750_000_001).unwrap();
        set_verified([("profiles", 2)].into_iter(), 3, ended_at);
        set_verified_share(0.5);
        set_slot_log(&SlotLog {
            retained_bytes: 10,
            safe_bytes: None,
            wal_status: Some("extended".into()),
            seconds_to_loss: Some(60.0),
        });
        set_halted(true);
        set_phase(Phase::Streaming);
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
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
    }
    for Metric(name, ..) in METRICS {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help in\n{text}");
    }
    assert!(!text.contains("private"));
}
