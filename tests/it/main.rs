//! The product on a real PostgreSQL that the tests start themselves.

mod support;

mod convergence;
mod crashes;
mod guards;
mod people;
