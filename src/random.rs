//! Random bytes for passwords, ids and names.

use crate::report;

/// Returns bytes from the operating system's generator.
///
/// # Panics
///
/// Panics if the operating system has no random bytes: passwords would be predictable without them.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("{}", report::no_random_bytes(&error));
    }
    bytes
}

/// Returns 128 random bits in hexadecimal. They need no escaping in a URL, a configuration file or a file name.
///
/// # Panics
///
/// Panics if the operating system has no random bytes.
pub(crate) fn hex() -> String {
    format!("{:032x}", u128::from_ne_bytes(bytes()))
}
