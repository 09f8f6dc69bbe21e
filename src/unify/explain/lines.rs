//! Payments and enrollments of a person, line by line.

use crate::facts::Payment;
use crate::rules::Rules;
use crate::unify::duplicates::{Outcome, payment_row, single_product};
use crate::unify::enrollment::{Period, Standing};
use crate::unify::model::{Context, EnrollmentStatus};
use crate::unify::order::compare_rows;
use crate::unify::transaction::{is_listed, paid_at, transaction_id};

use super::{EnrollmentExplanation, PaymentExplanation, PeriodExplanation};

/// Every payment row, by the time shown; rows without one come last.
pub(super) fn payments(
    outcomes: &[(&Payment, Outcome<'_>)],
    rules: &Rules,
) -> Vec<PaymentExplanation> {
    let mut timed: Vec<_> = outcomes.iter().map(|(p, outcome)| (time(p), *p, *outcome)).collect();
    timed.sort_by(|((a, _), p, _), ((b, _), q, _)| {
        let rows = || compare_rows((&p.feed, &p.key), (&q.feed, &q.key));
        (a.is_none(), a).cmp(&(b.is_none(), b)).then_with(rows)
    });
    let line = |((at, time_from), payment, outcome): (Time, &Payment, Outcome<'_>)| {
        let (gives, outcome) = outcome_of(payment, outcome, rules);
        let local = at.map(|at| at.to_zoned(rules.zone.clone()));
        PaymentExplanation {
            source_row: payment_row(payment),
            transaction_id: gives.then(|| transaction_id(&payment.feed, &payment.key)),
            outcome,
            amount: payment.amount.map(|amount| amount.to_string()),
            currency: payment.currency.clone(),
            status: payment.status.as_str(),
            product: single_product(payment).map(str::to_owned),
            utc: at.map(|at| at.to_string()),
            local: local.map(|at| at.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()),
            time_from,
        }
    };
    timed.into_iter().map(line).collect()
}

type Time = (Option<jiff::Timestamp>, Option<&'static str>);

/// The transaction's paid_at, else created, and the field that it is.
fn time(payment: &Payment) -> Time {
    match paid_at(payment) {
        (Some(at), inferred_from) => (Some(at), Some(inferred_from.unwrap_or("paid_at"))),
        (None, _) => (payment.created_at, payment.created_at.map(|_| "created")),
    }
}

fn outcome_of(payment: &Payment, outcome: Outcome<'_>, rules: &Rules) -> (bool, String) {
    match outcome {
        Outcome::InvalidAmount => (false, "no transaction: the amount is invalid".to_owned()),
        Outcome::DuplicateOf(survivor) => {
            let survivor = payment_row(survivor);
            (false, format!("no transaction: the same payment as {survivor}, which comes first"))
        }
        Outcome::Survives if is_listed(payment, rules) => (true, "gives a transaction".to_owned()),
        Outcome::Survives => {
            (false, "no transaction: the configuration's filter leaves it out".to_owned())
        }
    }
}

/// One course.
pub(super) fn enrollment(
    standing: &Standing<'_>,
    context: &Context,
) -> Option<EnrollmentExplanation> {
    let enrollment = standing.enrollment(context)?;
    let last = standing.periods.last()?;
    let today = context.today;
    let reason = match (enrollment.status, last.start, last.expiry) {
        (EnrollmentStatus::Revoked, ..) => {
            "no successful transaction is left; the earliest reversed one stands".to_owned()
        }
        (_, None, _) => "a period without a date never ends".to_owned(),
        (_, _, None) => "access for life".to_owned(),
        (EnrollmentStatus::Expired, _, Some(expiry)) => {
            format!("access ended on {expiry}, before today, {today}")
        }
        (EnrollmentStatus::Active, _, Some(expiry)) => {
            format!("access lasts until {expiry}; today is {today}")
        }
    };
    Some(EnrollmentExplanation {
        product: enrollment.product,
        status: enrollment.status.as_str(),
        reason,
        source_row: payment_row(last.opened_by.payment),
        transaction_id: enrollment.transaction_id,
        start_date: enrollment.start_date,
        expiry_date: enrollment.expiry_date,
        periods: standing.periods.iter().map(period).collect(),
    })
}

fn period(period: &Period<'_>) -> PeriodExplanation {
    PeriodExplanation {
        start_date: period.start,
        expiry_date: period.expiry,
        opened_by: payment_row(period.opened_by.payment),
        bought_again: period.within.iter().map(|booked| payment_row(booked.payment)).collect(),
    }
}
