//! The two layouts of the source tables (SPEC §1), as SQL.

/// Which of the two layouts a source database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceLayout {
    /// The tables of the sync jobs, keyed by uuid.
    Canonical,
    /// The tables of the CSV imports.
    Legacy,
}

impl SourceLayout {
    /// The statements that create both tables.
    #[must_use]
    pub fn schema(self) -> &'static str {
        match self {
            Self::Canonical => include_str!("sql/canonical.sql"),
            Self::Legacy => include_str!("sql/legacy.sql"),
        }
    }

    /// The contact columns that made-up rows fill, in the order of
    /// [`ContactRow::values`](crate::people::ContactRow::values).
    #[must_use]
    pub fn contact_columns(self) -> &'static [&'static str] {
        match self {
            Self::Canonical => &[
                "id",
                "contact_id",
                "email",
                "first_name",
                "last_name",
                "phone",
                "tags",
                "address_city",
                "custom_fields",
                "optin_email",
                "language",
                "updated_at",
                "created_at",
            ],
            Self::Legacy => &["Email", "First name", "Last name", "Tag", "Date Registered"],
        }
    }

    /// The payment columns that made-up rows fill, in the order of
    /// [`PaymentRow::values`](crate::people::PaymentRow::values).
    #[must_use]
    pub fn payment_columns(self) -> &'static [&'static str] {
        match self {
            Self::Canonical => &[
                "id",
                "external_id",
                "payment_id",
                "status",
                "payment_method",
                "amount",
                "fees",
                "payment_channel",
                "customer_name",
                "customer_email",
                "description",
                "failure_code",
                "created",
                "updated",
                "paid_at",
                "settled_at",
                "currency",
                "paid_amount",
            ],
            Self::Legacy => &[
                "External ID",
                "Invoice ID",
                "Status",
                "Description",
                "Email",
                "Customer Email",
                "Customer Name",
                "Customer Mobile Number",
                "Amount",
                "Currency",
                "Fee",
                "Received Amount",
                "Payment Method",
                "Bank Name",
                "Timezone",
                "Created Timestamp",
                "Paid Timestamp",
                "Settled Timestamp",
                "Expiry Date",
            ],
        }
    }
}
