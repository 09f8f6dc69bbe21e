//! A throwaway PostgreSQL, made-up customers with the dirt of real life, and the demonstration built of
//! them. The integration tests and the benchmark stand on the same parts.

pub mod cluster;
pub mod dirt;
mod installation;
pub mod load;
pub mod people;
pub mod random;
pub mod source_schema;
pub mod traffic;
