//! The watchdog: the sidecar of a game server.
//!
//! It owns the world's directory, lets the game start, sees players, and puts the world to sleep: stopped, proven, archived.
//! Reading order: [`run`], then [`senses`], then the modules that those two call. It has no permission but what it finds in
//! its container, and must never let a game start on a world that it does not own.

pub mod run;

pub mod senses;

pub mod judge;

pub mod peers;

pub mod rate;

pub mod sockets;

pub mod procnet;

pub mod sock_diag;

pub mod packet;

pub mod query;

pub mod world_dir;

pub mod erase;

pub mod game;

pub mod spawned;

pub mod neighbours;

pub mod console;

pub mod settings;

mod secret_file;

pub mod save;

pub mod archive;

pub mod unpack;

pub mod control;

pub mod upload;

pub mod metadata;

pub mod cli;
