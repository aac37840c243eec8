//! Why a waiting node begins to serve.

use crate::table::Cause;
use alloc::string::{String, ToString};

/// The cause and its detail.
pub(super) fn waiting(equal: bool, chosen: bool) -> (Cause, String) {
    match (equal, chosen) {
        (true, _) => (Cause::ElectedWithPeer, String::new()),
        (false, true) => (
            Cause::ProvenAlone,
            "an operator chose this node".to_string(),
        ),
        (false, false) => (Cause::ProvenAlone, String::new()),
    }
}
