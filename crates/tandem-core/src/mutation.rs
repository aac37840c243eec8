//! Seeded wrong changes: each breaks one rule on purpose, so that the simulator can show that one
//! of its checkers sees it. Compiled with the feature `mutations` only.

macro_rules! mutations {
    ($(#[doc = $doc:literal] $name:ident,)*) => {
        /// A wrong change.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Mutation {
            $(#[doc = $doc] $name,)*
        }
        impl Mutation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it does wrong.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $doc.trim_ascii(),)*
                }
            }
        }
    };
}

mutations! {
    /// R1: a standby takes over although its copy is not in sync.
    PromoteOutdated,
    /// R1: a node trusts its disk, although the other one shows that it was set back.
    TrustSetBack,
    /// R7: what an operator forced once is served by force for good.
    ForceForGood,
    /// R1: messages show what is not on disk yet.
    SendBeforePersisted,
    /// R1: the record is changed alone although the peer is heard.
    DecideAloneWhileHeard,
    /// R1: a proposal counts as soon as it is on its proposer's own disk.
    CountWithoutVote,
    /// R1: a voter takes proposals that do not follow its own record.
    AcceptAnyProposal,
    /// R1: a record that was made alone is not marked as unconfirmed.
    HideUnconfirmed,
    /// R2: what waits is answered without the peer before the record says so.
    AnswerBeforeRecord,
    /// R2: the peer is recorded in sync before its copy is level.
    TrustBeforeLevel,
    /// R3: no new generation when insync shrinks.
    KeepGeneration,
    /// R3: a new generation also when insync grows.
    GrowAlways,
    /// R3: a lineage that is behind is taken for one that is ahead.
    CompareGenerationsBackwards,
    /// R4: a permit without end while the peer is in sync.
    PermitWithoutEnd,
    /// R5: a permit counts from the arrival of a message, however old it is.
    PermitFromArrival,
    /// R7: a copy that an operator wants compared is believed.
    BelieveAfterAll,
    /// R7: copies that were not brought level are recorded as equal.
    CleanWithoutDrain,
    /// R8: a successor is accepted while the own session is open.
    AcceptWhileOpen,
    /// R2: a swap hands over without draining.
    SwapWithoutDrain,
    /// R8: a promotion uses the epoch of the session before it.
    ReuseEpoch,
    /// R8: after the loss of the mirror a session opens before the record has the peer out.
    RestartUnrecorded,
    /// R1: a primary waits for the vote of a standby of which nothing was heard for the stall limit.
    AwaitDeadVote,
    /// R2: what services write while they end waits for a standby that is gone.
    KeepEndingWaiting,
    /// R1: a standby takes over although its gateway does not answer.
    TakeOverWithoutGateway,
    /// R4: a node whose own links have no carrier goes on serving.
    ServeIsolated,
    /// R8: the address is taken without asking who has it.
    SkipProbe,
    /// The licence: at its end only the primary stops, and the standby takes over.
    LicenceEndsOneNode,
    /// The licence: at its end the standby stops before both copies are level.
    StandbyStopsFirst,
}
