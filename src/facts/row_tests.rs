//! Whole rows, in both layouts of SPEC §1.
