//! Whether RapidPro answers, and whether its refusal of the token is to be believed.

use std::time::Duration;

use super::Client;
use super::fault::{Fault, Kind};
use crate::delivery::destination::{Failure, FailureKind};

/// How long a wrong token is waited for before it is tried once more: a restarting RapidPro may refuse
/// right ones.
const SECOND_TRY: Duration = Duration::from_secs(2);

impl Client {
    /// `workspace.json` is small; a token whose role may not read it still shows that RapidPro answers.
    ///
    /// # Errors
    /// Why it does not, as the delivery engine reads it.
    pub async fn probe(&self) -> Result<(), Failure> {
        match self.get("workspace", &[]).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.kind == Kind::Forbidden => Ok(()),
            Err(fault) => Err(fault.failure()),
        }
    }

    /// A fault as the delivery engine reads it; credentials are accused only after a second refusal and a
    /// probe that agrees.
    pub async fn judged(&self, fault: &Fault) -> Failure {
        if !matches!(fault.kind, Kind::Unauthenticated | Kind::Forbidden) {
            return fault.failure();
        }
        tokio::time::sleep(SECOND_TRY).await;
        match self.probe().await {
            Err(failure) if failure.kind == FailureKind::Unauthorised => failure,
            _ if fault.kind == Kind::Forbidden => fault.failure(),
            Err(failure) => failure,
            Ok(()) => Failure { kind: FailureKind::Unavailable, ..fault.failure() },
        }
    }
}
