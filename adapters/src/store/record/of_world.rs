//! From a world to its record.

use std::time::Duration;

use domain::{
    idle::{Evidence, Timers},
    settings::SettingValue,
    talk::{Follower, Talk, Told},
    world::{
        Archive, Asked, Backup, BackupStep, Force, Heard, Launch, Outcome, Proof, Session, SettingName,
        StartStep, State, StopStep, StopWhy, Then, World,
    },
};
use jiff::Timestamp;

use super::*;

impl From<&World> for WorldRecord {
    fn from(world: &World) -> Self {
        let World {
            id,
            guild,
            name,
            game,
            created,
            timers,
            settings,
            port,
            generation,
            claimed,
            vault,
            last,
            past,
            talk,
            state,
        } = world;
        Self {
            v: VERSION,
            id: id.to_string(),
            guild: guild.to_string(),
            name: name.to_string(),
            game: game.to_string(),
            created: created.into(),
            timers: timers.into(),
            settings: settings.0.iter().map(setting).collect(),
            port: *port,
            generation: generation.0,
            claimed: claimed.map(|g| g.0),
            archive: None,
            vault: Some(vault.into()),
            last: last.as_ref().map(SessionRecord::from),
            past: past.iter().map(SessionRecord::from).collect(),
            talk: talk.into(),
            state: state.into(),
        }
    }
}

fn setting((name, value): (&SettingName, &SettingValue)) -> (String, SettingRecord) {
    (name.to_string(), SettingRecord(value.as_str().to_owned()))
}

impl From<&Talk> for TalkRecord {
    fn from(Talk { place, card, followers, told }: &Talk) -> Self {
        let follower = |Follower { reply, until }: &Follower| FollowerRecord {
            reply: reply.as_str().into(),
            until_ms: until.as_millisecond(),
        };
        let record = |Told { generation, sentence }: &Told| ToldRecord {
            generation: generation.0,
            sentence: sentence.clone(),
        };
        Self {
            place: place.as_ref().map(|place| place.as_str().into()),
            card: card.as_ref().map(|card| card.as_str().into()),
            followers: followers.iter().map(follower).collect(),
            told: told.as_ref().map(record),
        }
    }
}

impl From<&Asked> for AskedRecord {
    fn from(Asked { by, at }: &Asked) -> Self {
        Self { by: by.to_string(), at_ms: at.as_millisecond() }
    }
}

impl From<&Timers> for TimersRecord {
    fn from(Timers { never_joined, last_left, warning, afk, cap }: &Timers) -> Self {
        let ms = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            never_joined_ms: ms(never_joined),
            last_left_ms: ms(last_left),
            warning_ms: ms(warning),
            afk_ms: ms(afk),
            cap_ms: ms(cap),
        }
    }
}

impl From<&Archive> for ArchiveRecord {
    fn from(Archive { id, generation, size, sha256 }: &Archive) -> Self {
        Self { id: id.to_string(), generation: generation.0, size: *size, sha256: sha256.to_string() }
    }
}

impl From<&Session> for SessionRecord {
    fn from(Session { launch, outcome }: &Session) -> Self {
        Self { launch: launch.into(), outcome: outcome.into() }
    }
}

impl From<&Launch> for LaunchRecord {
    fn from(Launch { generation, errand, asked, passed, attendance, sources }: &Launch) -> Self {
        let passed = passed
            .iter()
            .map(|(milestone, at)| PassedRecord {
                milestone: milestone.word().into(),
                at_ms: at.as_millisecond(),
            })
            .collect();
        let errand = errand.as_ref().map(ErrandRecord::from);
        let attendance = (!attendance.is_empty()).then(|| AttendanceRecord::from(attendance));
        let sources = sources.iter().map(SightRecord::from).collect();
        Self { generation: generation.0, errand, asked: asked.into(), passed, attendance, sources }
    }
}

impl From<&State> for StateRecord {
    fn from(state: &State) -> Self {
        match state {
            State::Asleep => Self::Asleep,
            State::Starting { launch, step, deadline } => Self::Starting {
                launch: launch.into(),
                step: step.into(),
                deadline_ms: deadline.as_millisecond(),
            },
            State::Awake { launch, task, address, heard, keep, backup, deadline } => Self::Awake {
                launch: launch.into(),
                task: task.to_string(),
                address: AddressRecord { host: address.host.clone(), port: address.port },
                heard: heard.into(),
                keep: keep.as_ref().map(KeepRecord::from),
                backup: backup.as_ref().map(BackupRecord::from),
                deadline_ms: deadline.as_millisecond(),
            },
            State::Stopping { launch, task, why, step, then, deadline } => Self::Stopping {
                launch: launch.into(),
                task: task.to_string(),
                why: why.into(),
                step: step.into(),
                then: then.into(),
                deadline_ms: deadline.as_millisecond(),
            },
            State::Ending { launch, task, outcome, force, then, deadline } => Self::Ending {
                launch: launch.into(),
                task: task.as_ref().map(ToString::to_string),
                outcome: outcome.into(),
                force: (*force).into(),
                then: then.into(),
                deadline_ms: deadline.as_millisecond(),
            },
            State::Deleting { asked, deadline } => {
                Self::Deleting { asked: asked.into(), deadline_ms: deadline.as_millisecond() }
            }
            State::Deleted { asked, at } => Self::Deleted { asked: asked.into(), at_ms: at.as_millisecond() },
        }
    }
}

impl From<&StartStep> for StartStepRecord {
    fn from(step: &StartStep) -> Self {
        match step {
            StartStep::Launching => Self::Launching,
            StartStep::Launched { task } => Self::Launched { task: task.to_string() },
            StartStep::Filling { task } => Self::Filling { task: task.to_string() },
            StartStep::Claimed { task } => Self::Claimed { task: task.to_string() },
        }
    }
}

impl From<&Backup> for BackupRecord {
    fn from(Backup { why, at, step, deadline }: &Backup) -> Self {
        let step = match step {
            BackupStep::Wanted => BackupStepRecord::Wanted,
            BackupStep::Uploaded(archive) => BackupStepRecord::Uploaded { archive: archive.into() },
            BackupStep::Done(id) => BackupStepRecord::Done { archive_id: id.to_string() },
            BackupStep::Failed(reason) => BackupStepRecord::Failed { reason: reason.clone() },
        };
        Self { why: why.into(), at_ms: at.as_millisecond(), step, deadline_ms: deadline.as_millisecond() }
    }
}

impl From<&Heard> for HeardRecord {
    fn from(Heard { at, players, stops_at }: &Heard) -> Self {
        let players = match players {
            Evidence::Players(count) => EvidenceRecord::Players { count: *count },
            Evidence::Empty => EvidenceRecord::Empty,
            Evidence::Unknown(reason) => EvidenceRecord::Unknown { reason: reason.clone() },
        };
        Self { at_ms: at.as_millisecond(), players, stops_at_ms: stops_at.map(Timestamp::as_millisecond) }
    }
}

impl From<&(Asked, Timestamp)> for KeepRecord {
    fn from((asked, until): &(Asked, Timestamp)) -> Self {
        Self { asked: asked.into(), until_ms: until.as_millisecond() }
    }
}

impl From<&StopWhy> for StopWhyRecord {
    fn from(why: &StopWhy) -> Self {
        match why {
            StopWhy::Asked(asked) => Self::Asked { asked: asked.into() },
            StopWhy::NeverJoined => Self::NeverJoined,
            StopWhy::LastLeft => Self::LastLeft,
            StopWhy::Cap => Self::Cap,
            StopWhy::NeverReady => Self::NeverReady,
            StopWhy::AllAway => Self::AllAway,
            StopWhy::Deaf => Self::Deaf,
            StopWhy::Unresponsive => Self::Unresponsive,
            StopWhy::GameEnded(how) => Self::GameEnded { how: how.clone() },
            StopWhy::Reclaimed => Self::Reclaimed,
        }
    }
}

impl From<&StopStep> for StopStepRecord {
    fn from(step: &StopStep) -> Self {
        match step {
            StopStep::Asked => Self::Asked,
            StopStep::Saving => Self::Saving,
            StopStep::Saved(proof) => Self::Saved { proof: proof.into() },
            StopStep::Uploaded(proof, archive) => {
                Self::Uploaded { proof: proof.into(), archive: archive.into() }
            }
            StopStep::Rejected(proof, id) => {
                Self::Rejected { proof: proof.into(), archive_id: id.to_string() }
            }
            StopStep::Filling => Self::Filling,
        }
    }
}

impl From<&Proof> for ProofRecord {
    fn from(proof: &Proof) -> Self {
        match proof {
            Proof::Fresh => Self::Fresh,
            Proof::Untouched => Self::Untouched,
            Proof::Missing(reason) => Self::Missing { reason: reason.clone() },
        }
    }
}

impl From<&Then> for ThenRecord {
    fn from(then: &Then) -> Self {
        match then {
            Then::Sleep => Self::Sleep,
            Then::Start(asked) => Self::Start { asked: asked.into() },
        }
    }
}

impl From<&Outcome> for OutcomeRecord {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Slept(why, proof) => Self::Slept { why: why.into(), proof: proof.into() },
            Outcome::NotArchived(why, reason) => {
                Self::NotArchived { why: why.into(), reason: reason.clone() }
            }
            Outcome::Cancelled(asked) => Self::Cancelled { asked: asked.into() },
            Outcome::Failed(reason) => Self::Failed { reason: reason.clone() },
            Outcome::Lost(reason) => Self::Lost { reason: reason.clone() },
            Outcome::Done(errand, found) => Self::Done { errand: errand.into(), found: found.clone() },
            Outcome::NotDone(errand, reason) => {
                Self::NotDone { errand: errand.into(), reason: reason.clone() }
            }
        }
    }
}

impl From<Force> for ForceRecord {
    fn from(force: Force) -> Self {
        match force {
            Force::Gentle => Self::Gentle,
            Force::Kill => Self::Kill,
        }
    }
}
