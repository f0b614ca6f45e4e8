//! From a record back to its world. What is wrong is named by the path to it.

use std::{str::FromStr, time::Duration};

use domain::{
    attendance::Attendance,
    idle::{Evidence, Timers},
    settings::{Chosen, SettingValue},
    sight::Sight,
    talk::{CardId, Follower, Place, ReplyId, Talk, Told},
    world::{
        Address, Archive, Asked, Backup, BackupStep, BadName, Force, Generation, Heard, Launch, Milestone,
        Outcome, Proof, Session, Sha256, StartStep, State, StopStep, StopWhy, Then, World,
    },
};
use jiff::Timestamp;

use super::*;

impl WorldRecord {
    pub(super) fn restore(self) -> Result<World, DecodeError> {
        let created_ms = self.created.at_ms;
        Ok(World {
            id: parsed("id", &self.id)?,
            guild: parsed("guild", &self.guild)?,
            name: parsed("name", &self.name)?,
            game: parsed("game", &self.game)?,
            created: self.created.restore().within("created")?,
            timers: self.timers.restore(),
            settings: chosen(self.settings).within("settings")?,
            port: self.port,
            generation: Generation(self.generation),
            claimed: self.claimed.map(Generation),
            vault: match self.vault {
                Some(vault) => vault.restore().within("vault")?,
                None => {
                    let claimed = self.claimed.map(Generation);
                    vault::of_version_1(self.archive, claimed, created_ms).within("archive")?
                }
            },
            last: self.last.map(SessionRecord::restore).transpose().within("last")?,
            past: self
                .past
                .into_iter()
                .map(SessionRecord::restore)
                .collect::<Result<_, _>>()
                .within("past")?,
            talk: self.talk.restore().within("talk")?,
            state: self.state.restore().within("state")?,
        })
    }
}

fn chosen(settings: BTreeMap<String, SettingRecord>) -> Result<Chosen, DecodeError> {
    let one = |(name, SettingRecord(value)): (String, SettingRecord)| {
        let value = SettingValue::parse(&value).map_err(|error| wrong(&name, error))?;
        Ok((parsed("name", &name)?, value))
    };
    settings.into_iter().map(one).collect::<Result<_, _>>().map(Chosen)
}

impl TalkRecord {
    fn restore(self) -> Result<Talk, DecodeError> {
        let followers = self.followers.into_iter().map(FollowerRecord::restore);
        Ok(Talk {
            place: self.place.map(|t| Place::parse(&t)).transpose().map_err(|e| wrong("place", e))?,
            card: self.card.map(|t| CardId::parse(&t)).transpose().map_err(|e| wrong("card", e))?,
            followers: followers.collect::<Result<_, _>>().within("followers")?,
            told: self.told.map(|t| Told { generation: Generation(t.generation), sentence: t.sentence }),
        })
    }
}

impl FollowerRecord {
    fn restore(self) -> Result<Follower, DecodeError> {
        let reply = ReplyId::parse(&self.reply).map_err(|e| wrong("reply", e))?;
        Ok(Follower { reply, until: time("until_ms", self.until_ms)? })
    }
}

impl AskedRecord {
    pub(super) fn restore(self) -> Result<Asked, DecodeError> {
        Ok(Asked { by: parsed("by", &self.by)?, at: time("at_ms", self.at_ms)? })
    }
}

impl TimersRecord {
    fn restore(self) -> Timers {
        Timers {
            never_joined: Duration::from_millis(self.never_joined_ms),
            last_left: Duration::from_millis(self.last_left_ms),
            warning: Duration::from_millis(self.warning_ms),
            afk: Duration::from_millis(self.afk_ms),
            cap: Duration::from_millis(self.cap_ms),
        }
    }
}

impl ArchiveRecord {
    pub(super) fn restore(self) -> Result<Archive, DecodeError> {
        Ok(Archive {
            id: parsed("id", &self.id)?,
            generation: Generation(self.generation),
            size: self.size,
            sha256: Sha256::parse(&self.sha256).map_err(|e| wrong("sha256", e))?,
        })
    }
}

impl SessionRecord {
    fn restore(self) -> Result<Session, DecodeError> {
        Ok(Session {
            launch: self.launch.restore().within("launch")?,
            outcome: self.outcome.restore().within("outcome")?,
        })
    }
}

impl LaunchRecord {
    fn restore(self) -> Result<Launch, DecodeError> {
        Ok(Launch {
            generation: Generation(self.generation),
            errand: self.errand.map(ErrandRecord::restore).transpose().within("errand")?,
            asked: self.asked.restore().within("asked")?,
            passed: self
                .passed
                .into_iter()
                .map(PassedRecord::restore)
                .collect::<Result<_, _>>()
                .within("passed")?,
            attendance: self
                .attendance
                .map_or(Ok(Attendance::default()), |record| record.parse())
                .map_err(|error| wrong("attendance", error))?,
            sources: self.sources.into_iter().map(sight).collect::<Result<_, _>>()?,
        })
    }
}

fn sight(record: SightRecord) -> Result<Sight, DecodeError> {
    let unknown = wrong("sources", format!("`{}` is no source", record.source.escape_debug()));
    record.parse().ok_or(unknown)
}

impl PassedRecord {
    fn restore(self) -> Result<(Milestone, Timestamp), DecodeError> {
        let milestone = Milestone::ALL.into_iter().find(|m| m.word() == self.milestone);
        let unknown = || wrong("milestone", format!("`{}` is no milestone", self.milestone.escape_debug()));
        Ok((milestone.ok_or_else(unknown)?, time("at_ms", self.at_ms)?))
    }
}

impl StateRecord {
    fn restore(self) -> Result<State, DecodeError> {
        Ok(match self {
            Self::Asleep => State::Asleep,
            Self::Starting { launch, step, deadline_ms } => State::Starting {
                launch: launch.restore().within("launch")?,
                step: step.restore().within("step")?,
                deadline: time("deadline_ms", deadline_ms)?,
            },
            Self::Awake { launch, task, address, heard, keep, backup, deadline_ms } => State::Awake {
                launch: launch.restore().within("launch")?,
                task: parsed("task", &task)?,
                address: Address { host: address.host, port: address.port },
                heard: heard.restore().within("heard")?,
                keep: keep.map(KeepRecord::restore).transpose().within("keep")?,
                backup: backup.map(BackupRecord::restore).transpose().within("backup")?,
                deadline: time("deadline_ms", deadline_ms)?,
            },
            Self::Stopping { launch, task, why, step, then, deadline_ms } => State::Stopping {
                launch: launch.restore().within("launch")?,
                task: parsed("task", &task)?,
                why: why.restore().within("why")?,
                step: step.restore().within("step")?,
                then: then.restore().within("then")?,
                deadline: time("deadline_ms", deadline_ms)?,
            },
            Self::Ending { launch, task, outcome, force, then, deadline_ms } => State::Ending {
                launch: launch.restore().within("launch")?,
                task: task.map(|task| parsed("task", &task)).transpose()?,
                outcome: outcome.restore().within("outcome")?,
                force: force.restore(),
                then: then.restore().within("then")?,
                deadline: time("deadline_ms", deadline_ms)?,
            },
            Self::Deleting { asked, deadline_ms } => State::Deleting {
                asked: asked.restore().within("asked")?,
                deadline: time("deadline_ms", deadline_ms)?,
            },
            Self::Deleted { asked, at_ms } => {
                State::Deleted { asked: asked.restore().within("asked")?, at: time("at_ms", at_ms)? }
            }
        })
    }
}

impl StartStepRecord {
    fn restore(self) -> Result<StartStep, DecodeError> {
        Ok(match self {
            Self::Launching => StartStep::Launching,
            Self::Launched { task } => StartStep::Launched { task: parsed("task", &task)? },
            Self::Filling { task } => StartStep::Filling { task: parsed("task", &task)? },
            Self::Claimed { task } => StartStep::Claimed { task: parsed("task", &task)? },
        })
    }
}

impl BackupRecord {
    fn restore(self) -> Result<Backup, DecodeError> {
        let step = match self.step {
            BackupStepRecord::Wanted => BackupStep::Wanted,
            BackupStepRecord::Uploaded { archive } => {
                BackupStep::Uploaded(archive.restore().within("step.archive")?)
            }
            BackupStepRecord::Done { archive_id } => {
                BackupStep::Done(parsed("step.archive_id", &archive_id)?)
            }
            BackupStepRecord::Failed { reason } => BackupStep::Failed(reason),
        };
        let (at, deadline) = (time("at_ms", self.at_ms)?, time("deadline_ms", self.deadline_ms)?);
        Ok(Backup { why: self.why.restore().within("why")?, at, step, deadline })
    }
}

impl HeardRecord {
    fn restore(self) -> Result<Heard, DecodeError> {
        let players = match self.players {
            EvidenceRecord::Players { count } => Evidence::count(count),
            EvidenceRecord::Empty => Evidence::Empty,
            EvidenceRecord::Unknown { reason } => Evidence::Unknown(reason),
        };
        let stops_at = self.stops_at_ms.map(|ms| time("stops_at_ms", ms)).transpose()?;
        Ok(Heard { at: time("at_ms", self.at_ms)?, players, stops_at })
    }
}

impl KeepRecord {
    fn restore(self) -> Result<(Asked, Timestamp), DecodeError> {
        Ok((self.asked.restore().within("asked")?, time("until_ms", self.until_ms)?))
    }
}

impl StopWhyRecord {
    fn restore(self) -> Result<StopWhy, DecodeError> {
        Ok(match self {
            Self::Asked { asked } => StopWhy::Asked(asked.restore().within("asked")?),
            Self::NeverJoined => StopWhy::NeverJoined,
            Self::LastLeft => StopWhy::LastLeft,
            Self::Cap => StopWhy::Cap,
            Self::NeverReady => StopWhy::NeverReady,
            Self::AllAway => StopWhy::AllAway,
            Self::Deaf => StopWhy::Deaf,
            Self::Unresponsive => StopWhy::Unresponsive,
            Self::GameEnded { how } => StopWhy::GameEnded(how),
            Self::Reclaimed => StopWhy::Reclaimed,
        })
    }
}

impl StopStepRecord {
    fn restore(self) -> Result<StopStep, DecodeError> {
        Ok(match self {
            Self::Asked => StopStep::Asked,
            Self::Saving => StopStep::Saving,
            Self::Saved { proof } => StopStep::Saved(proof.restore()),
            Self::Uploaded { proof, archive } => {
                StopStep::Uploaded(proof.restore(), archive.restore().within("archive")?)
            }
            Self::Rejected { proof, archive_id } => {
                StopStep::Rejected(proof.restore(), parsed("archive_id", &archive_id)?)
            }
            Self::Filling => StopStep::Filling,
        })
    }
}

impl ProofRecord {
    fn restore(self) -> Proof {
        match self {
            Self::Fresh => Proof::Fresh,
            Self::Untouched => Proof::Untouched,
            Self::Missing { reason } => Proof::Missing(reason),
        }
    }
}

impl ThenRecord {
    fn restore(self) -> Result<Then, DecodeError> {
        Ok(match self {
            Self::Sleep => Then::Sleep,
            Self::Start { asked } => Then::Start(asked.restore().within("asked")?),
        })
    }
}

impl OutcomeRecord {
    fn restore(self) -> Result<Outcome, DecodeError> {
        Ok(match self {
            Self::Slept { why, proof } => Outcome::Slept(why.restore().within("why")?, proof.restore()),
            Self::NotArchived { why, reason } => Outcome::NotArchived(why.restore().within("why")?, reason),
            Self::Cancelled { asked } => Outcome::Cancelled(asked.restore().within("asked")?),
            Self::Failed { reason } => Outcome::Failed(reason),
            Self::Lost { reason } => Outcome::Lost(reason),
            Self::Done { errand, found } => Outcome::Done(errand.restore().within("errand")?, found),
            Self::NotDone { errand, reason } => Outcome::NotDone(errand.restore().within("errand")?, reason),
        })
    }
}

impl ForceRecord {
    fn restore(self) -> Force {
        match self {
            Self::Gentle => Force::Gentle,
            Self::Kill => Force::Kill,
        }
    }
}

pub(super) fn parsed<T: FromStr<Err = BadName>>(field: &str, text: &str) -> Result<T, DecodeError> {
    text.parse().map_err(|error| wrong(field, error))
}

pub(super) fn time(field: &str, ms: i64) -> Result<Timestamp, DecodeError> {
    Timestamp::from_millisecond(ms).map_err(|error| wrong(field, error))
}

/// Says in which field a field is wrong.
pub(super) trait Within {
    fn within(self, outer: &str) -> Self;
}

impl<T> Within for Result<T, DecodeError> {
    fn within(self, outer: &str) -> Self {
        self.map_err(|error| match error {
            DecodeError::Field { field, why } => {
                DecodeError::Field { field: format!("{outer}.{field}"), why }
            }
            newer @ DecodeError::Newer(_) => newer,
        })
    }
}
