//! The log macros: `weir_sdk::info!("{n} keys")`. Each is one line under the filter's name.

/// Logs at [`Level::Trace`](crate::Level::Trace).
#[macro_export]
macro_rules! trace {
    ($($message:tt)*) => { $crate::log($crate::Level::Trace, &::std::format!($($message)*)) };
}

/// Logs at [`Level::Debug`](crate::Level::Debug).
#[macro_export]
macro_rules! debug {
    ($($message:tt)*) => { $crate::log($crate::Level::Debug, &::std::format!($($message)*)) };
}

/// Logs at [`Level::Info`](crate::Level::Info).
#[macro_export]
macro_rules! info {
    ($($message:tt)*) => { $crate::log($crate::Level::Info, &::std::format!($($message)*)) };
}

/// Logs at [`Level::Warn`](crate::Level::Warn).
#[macro_export]
macro_rules! warn {
    ($($message:tt)*) => { $crate::log($crate::Level::Warn, &::std::format!($($message)*)) };
}

/// Logs at [`Level::Error`](crate::Level::Error).
#[macro_export]
macro_rules! error {
    ($($message:tt)*) => { $crate::log($crate::Level::Error, &::std::format!($($message)*)) };
}
