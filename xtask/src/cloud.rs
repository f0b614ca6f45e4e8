//! What deploying and taking down share: the configuration, AWS, the CDK's toolkit, and asking people.

pub(crate) mod config;

pub(crate) mod aws;

pub(crate) mod toolkit;

pub(crate) mod ask;
