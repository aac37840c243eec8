//! The replay queue and the acknowledgements.
