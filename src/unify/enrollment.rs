//! Access periods and enrollments (SPEC §5.4).

use jiff::{Span, civil};

use super::model::{Context, Enrollment, EnrollmentStatus};
use super::transaction::Booked;
use crate::rules::{Product, Rules};

/// A stretch of access that one transaction opened.
#[derive(Debug, Clone)]
pub(crate) struct Period<'a> {
    /// The transaction that opened it.
    pub(crate) opened_by: &'a Booked<'a>,
    /// First day.
    pub(crate) start: Option<civil::Date>,
    /// Last day; `None` never ends.
    pub(crate) expiry: Option<civil::Date>,
    /// Later successful transactions that it covers, which change nothing.
    pub(crate) within: Vec<&'a Booked<'a>>,
}

impl<'a> Period<'a> {
    fn open(opened_by: &'a Booked<'a>, access_days: Option<u32>) -> Self {
        let start = opened_by.paid_on;
        // A date beyond the calendar's end is as good as never.
        let expiry = start.zip(access_days).and_then(|(start, days)| {
            start.checked_add(Span::new().try_days(i64::from(days)).ok()?).ok()
        });
        Self { opened_by, start, expiry, within: Vec::new() }
    }

    fn is_over_for(&self, later: &Booked<'_>) -> bool {
        self.expiry.zip(later.paid_on).is_some_and(|(expiry, date)| date > expiry)
    }
}

/// A person's standing in one course.
#[derive(Debug, Clone)]
pub(crate) struct Standing<'a> {
    /// The course.
    pub(crate) product: &'a Product,
    /// In order, at least one; the enrollment shows the last.
    pub(crate) periods: Vec<Period<'a>>,
    /// Whether it stands on a reversed transaction, for want of a successful one.
    pub(crate) revoked: bool,
}

/// The standing in every course with a successful or reversed transaction, by product code. `booked`
/// is all of one person's transactions in the order of SPEC §5.4.
pub(crate) fn standings<'a>(booked: &'a [Booked<'a>], rules: &'a Rules) -> Vec<Standing<'a>> {
    let mut standings: Vec<Standing<'a>> = rules
        .products
        .iter()
        .filter(|product| product.course)
        .filter_map(|product| standing(booked, product))
        .collect();
    standings.sort_by(|a, b| a.product.code.cmp(&b.product.code));
    standings
}

fn standing<'a>(booked: &'a [Booked<'a>], product: &'a Product) -> Option<Standing<'a>> {
    let of_product = || booked.iter().filter(|booked| is_of(booked, product));
    let mut periods: Vec<Period<'a>> = Vec::new();
    for paid in of_product().filter(|booked| booked.payment.status.is_successful()) {
        match periods.last_mut() {
            Some(running) if !running.is_over_for(paid) => running.within.push(paid),
            _ => periods.push(Period::open(paid, product.access_days)),
        }
    }
    if !periods.is_empty() {
        return Some(Standing { product, periods, revoked: false });
    }
    let reversed = of_product().find(|booked| booked.payment.status.is_reversed())?;
    let periods = vec![Period::open(reversed, product.access_days)];
    Some(Standing { product, periods, revoked: true })
}

fn is_of(booked: &Booked<'_>, product: &Product) -> bool {
    super::duplicates::single_product(booked.payment) == Some(product.code.as_str())
}

impl Standing<'_> {
    /// The owned columns of the enrollment; `None` cannot be, a standing has a period.
    pub(crate) fn enrollment(&self, context: &Context) -> Option<Enrollment> {
        let last = self.periods.last()?;
        let status = if self.revoked {
            EnrollmentStatus::Revoked
        } else if last.expiry.is_some_and(|expiry| expiry < context.today) {
            EnrollmentStatus::Expired
        } else {
            EnrollmentStatus::Active
        };
        Some(Enrollment {
            product: self.product.code.clone(),
            course_id: self.product.id,
            transaction_id: last.opened_by.transaction.id,
            status,
            start_date: last.start,
            expiry_date: last.expiry,
            cohort_month: last.start.map(cohort_month),
            cohort_quarter: last.start.map(cohort_quarter),
        })
    }
}

fn cohort_month(date: civil::Date) -> String {
    format!("{:04}-{:02}", date.year(), date.month())
}

fn cohort_quarter(date: civil::Date) -> String {
    format!("{:04}-Q{}", date.year(), (date.month() - 1) / 3 + 1)
}
