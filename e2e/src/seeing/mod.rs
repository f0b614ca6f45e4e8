//! Seeing players: real servers with real players and with strangers, and what the real watchdog sees of them.
//!
//! [`games`] starts servers and players, [`strangers`] are all who knock and do not play, [`observer`] is the watchdog's own
//! look at the server, with and without the right to see packets.

pub mod games;

pub mod observer;

pub mod strangers;
