//! The operations of the application.
