//! Name-based UUIDs (RFC 9562, version 5): ids of rows without one, digests of rows and evidence.
//!
//! The crate `uuid` computes SHA-1 in portable code. Every row and every conflict is digested, and with the processor's own
//! instructions, where it has them, that takes a fifth of the time.

use sha1::{Digest as _, Sha1};
use uuid::{Builder, Uuid};

/// The UUID of a name in a namespace.
#[must_use]
pub fn uuid_v5(namespace: &Uuid, name: &[u8]) -> Uuid {
    let hash = Sha1::new().chain_update(namespace.as_bytes()).chain_update(name).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    Builder::from_sha1_bytes(first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_standard() {
        // RFC 9562, appendix A.4.
        let id = uuid_v5(&Uuid::NAMESPACE_DNS, b"www.example.com");
        assert_eq!(id.to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }
}
