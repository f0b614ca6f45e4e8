//! A world in every situation, by name, and the short script that brings it there.
//!
//! A script is a list of steps, `seconds event`, parted by `;`: `0 start ann; 1 launched; 30 claimed`. An event belongs
//! to the current launch, or to launch 1 if it ends in `@1`; the task of launch 1 is `t1` unless another one is named.

use std::time::Duration;

use domain::{
    Timestamp,
    attendance::Attendance,
    event::{Event, Gone},
    idle::{Evidence, Source, TimerChoices, Timers},
    lifecycle::{NewWorld, create, step},
    settings::{Choices, Chosen},
    sight::{Sight, Standing},
    talk::{CardId, Follower, Place, ReplyId, Told},
    vault::{Care, CareChoices, Litter, Storage},
    world::{
        Address, Archive, ArchiveId, Errand, GameId, Generation, GuildId, ImportId, LinkId, Person, Proof,
        Sha256, State, StopWhy, TaskId, World, WorldId, WorldName,
    },
};

/// Every situation: its name, the one that it follows, and what happens then.
pub(crate) const SITUATIONS: &[(&str, &str, &str)] = &[
    ("new", "", ""),
    ("launching", "new", "0 start ann"),
    ("launched", "launching", "1 launched"),
    ("claimed", "launched", "30 claimed"),
    ("awake", "claimed", "90 ready; 100 seen 2"),
    ("warned", "awake", "700 seen 0 820"),
    ("kept", "awake", "700 keep ann 3700"),
    ("asked", "awake", "800 stop bob"),
    ("asked+again", "asked", "805 start cyd"),
    ("saving", "asked", "810 began left"),
    ("saved", "saving", "840 saved fresh"),
    ("saved+again", "saved", "841 start cyd"),
    ("uploaded", "saved", "860 uploaded a1"),
    ("rejected", "uploaded", "870 unwhole a1"),
    ("ending", "uploaded", "870 checked a1"),
    ("ending+again", "ending", "871 start cyd"),
    ("killing", "ending", "1110 tick"),
    ("unnamed", "launching", "5 stop bob"),
    ("unnamed+again", "unnamed", "6 start cyd"),
    ("asleep", "ending", "880 gone"),
    ("failed", "launching", "2 unlaunchable"),
    ("lost", "awake", "800 gone oom"),
    ("unsaved", "saved", "850 unarchived; 900 gone"),
    ("backing up", "awake", "700 backup bob"),
    ("backup uploaded", "backing up", "720 backedup 700 b1"),
    ("errand launching", "asleep", "1000 restore ann a1"),
    ("errand launched", "errand launching", "1001 launched"),
    ("errand saved", "errand launched", "1010 claimed"),
    ("errand uploaded", "errand saved", "1020 uploaded a2"),
    ("errand filling", "errand uploaded", "1030 checked a2"),
    ("importing", "new", "0 import ann; 1 launched; 30 claimed"),
    (
        "emptied",
        "asleep",
        "881 set archive; 882 start ann; 883 launched; 884 claimed; 885 ready; 886 stop ann; 887 began left;
        888 saved fresh; 889 unchanged a1; 890 gone",
    ),
    ("in its archive", "emptied", "900 start ann; 901 launched"),
    ("filling", "in its archive", "930 claimed"),
    ("errand in its archive", "emptied", "900 restore ann a1; 901 launched"),
    ("deleting", "asleep", "1000 delete ann valhalla"),
    ("deleted", "deleting", "1001 erased"),
];

/// Returns the world in the situation of that name, and the second in which it came there.
pub(crate) fn situation(name: &str) -> (World, u64) {
    let Some((_, earlier, then)) = SITUATIONS.iter().find(|(n, ..)| *n == name) else {
        return (world(), 0);
    };
    steps(then).into_iter().fold(situation(earlier), |(world, _), (second, text)| {
        let next = step(&world, event(text, &world), at(second));
        (next.unwrap_or_else(|refusal| panic!("{name}: {text}: {refusal}")), second)
    })
}

/// Returns a new world.
pub(crate) fn world() -> World {
    let new = NewWorld {
        id: WorldId::parse("w1").unwrap(),
        guild: GuildId::parse("local").unwrap(),
        name: WorldName::parse("valhalla").unwrap(),
        game: GameId::parse("valheim").unwrap(),
        timers: Timers::DEFAULT,
        care: Care::DEFAULT,
        settings: Chosen::default(),
        port: None,
        place: None,
    };
    create(new, person("ann"), at(0))
}

/// Returns the moment that many seconds into the story.
pub(crate) fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_767_290_400).unwrap() + Duration::from_secs(second)
}

/// Parts a script into its steps.
pub(crate) fn steps(script: &str) -> Vec<(u64, &str)> {
    script
        .split(';')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| {
            let (second, event) = text.split_once(' ').unwrap();
            (second.parse().unwrap(), event)
        })
        .collect()
}

/// Returns the event that `text` describes, of the current launch of `world` unless it says otherwise.
pub(crate) fn event(text: &str, world: &World) -> Event {
    let (text, generation) = match text.split_once(" @") {
        Some((text, generation)) => (text, Generation(generation.parse().unwrap())),
        None => (text, world.generation),
    };
    let task = || task(&format!("t{generation}"));
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["start", by] => Event::Start { by: person(by) },
        ["stop", by] => Event::Stop { by: person(by) },
        ["keep", by, until] => Event::Keep { by: person(by), until: at(until.parse().unwrap()) },
        ["set"] => Event::Set {
            timers: TimerChoices { cap: Some(Duration::from_secs(7200)), ..TimerChoices::default() },
            care: CareChoices::default(),
            settings: Choices::default(),
        },
        ["set", "directory"] => Event::Set {
            timers: TimerChoices::default(),
            care: CareChoices { storage: Some(Storage::Directory), ..CareChoices::default() },
            settings: Choices::default(),
        },
        ["set", "archive"] => Event::Set {
            timers: TimerChoices::default(),
            care: CareChoices { storage: Some(Storage::Archive), ..CareChoices::default() },
            settings: Choices::default(),
        },
        ["backup", by] => Event::Errand { by: person(by), errand: Errand::Backup },
        ["restore", by, id] => {
            Event::Errand { by: person(by), errand: Errand::Restore(ArchiveId::parse(id).unwrap()) }
        }
        ["import", by] => {
            Event::Errand { by: person(by), errand: Errand::Import(ImportId::parse("i1").unwrap()) }
        }
        ["export", by] => Event::Export {
            by: person(by),
            link: LinkId::parse("l1").unwrap(),
            archive: None,
            expires: at(1_000_000),
        },
        ["withdraw"] => Event::Withdraw { link: None },
        ["downloaded"] => Event::Downloaded { link: LinkId::parse("l1").unwrap() },
        ["unchanged", id] => Event::Unchanged { generation, archive: ArchiveId::parse(id).unwrap() },
        ["backedup", "it", id] => {
            let wish = match &world.state {
                State::Awake { backup: Some(backup), .. } => backup.at,
                State::Asleep
                | State::Starting { .. }
                | State::Awake { .. }
                | State::Stopping { .. }
                | State::Ending { .. }
                | State::Deleting { .. }
                | State::Deleted { .. } => at(0),
            };
            Event::BackedUp { generation, wish, archive: archive(id, generation) }
        }
        ["backedup", wish, id] => {
            Event::BackedUp { generation, wish: at(wish.parse().unwrap()), archive: archive(id, generation) }
        }
        ["notbackedup", wish] => Event::BackupFailed {
            generation,
            wish: at(wish.parse().unwrap()),
            why: "the disk is full".into(),
        },
        ["filled"] => Event::Filled { generation, found: "a world".into() },
        ["notfilled"] => Event::FillFailed { generation, why: "the disk is full".into() },
        ["removed", id] => Event::Removed(Litter::Archive(ArchiveId::parse(id).unwrap())),
        ["follow", until] => Event::Follow(Follower {
            reply: ReplyId::parse("reply").unwrap(),
            until: at(until.parse().unwrap()),
        }),
        ["place"] => Event::Place(Place::parse("hall").unwrap()),
        ["told"] => Event::Told {
            told: Told { generation, sentence: "so it is".into() },
            card: CardId::parse("card").ok(),
            instead_of: world.talk.told.clone(),
        },
        ["nottold"] => Event::NotTold { instead_of: None },
        ["delete", by, typed] => Event::Delete { by: person(by), typed: typed.into() },
        ["launched"] => Event::Launched { generation, task: task() },
        ["launched", other] => Event::Launched { generation, task: self::task(other) },
        ["unlaunchable"] => Event::LaunchRefused { generation, why: "no capacity".into() },
        ["heard"] => Event::Heard { generation, task: task() },
        ["heard", other] => Event::Heard { generation, task: self::task(other) },
        ["claimed"] => Event::Claimed { generation, task: task() },
        ["claimed", other] => Event::Claimed { generation, task: self::task(other) },
        ["ready"] => Event::Ready { generation, address: Address { host: "203.0.113.7".into(), port: 2456 } },
        ["startfailed"] => Event::StartFailed { generation, why: "the mod loader is missing".into() },
        ["seen", players] => Event::Seen { generation, players: evidence(players), stops_at: None },
        ["seen", players, stops_at] => {
            let stops_at = Some(at(stops_at.parse().unwrap()));
            Event::Seen { generation, players: evidence(players), stops_at }
        }
        ["attended", minutes, players] => {
            let mut attendance = Attendance::default();
            for second in 0..60 * minutes.parse::<u64>().unwrap() {
                attendance.note(Duration::from_secs(second), &evidence(players));
            }
            let standing = Standing::Missing("no CAP_NET_RAW".into());
            let sources = vec![Sight { source: Source::PacketPeers, standing }];
            Event::Attended { generation, attendance, sources }
        }
        ["began", why] => Event::StopBegan { generation, why: stop_why(why) },
        ["saved", proof] => Event::Saved { generation, proof: self::proof(proof) },
        ["uploaded", id] => Event::Uploaded { generation, archive: archive(id, generation) },
        ["unarchived"] => Event::ArchiveFailed { generation, why: "the disk is full".into() },
        ["checked", id] => Event::Checked { generation, archive: archive(id, generation) },
        ["unwhole", id] => Event::CheckFailed { generation, archive: archive(id, generation) },
        ["gone"] => Event::TaskGone { generation, task: Some(task()), how: Gone::Exited },
        ["gone", how] => Event::TaskGone { generation, task: Some(task()), how: gone(how) },
        ["gone", how, "nothing"] => Event::TaskGone { generation, task: None, how: gone(how) },
        ["gone", how, other] => Event::TaskGone { generation, task: Some(self::task(other)), how: gone(how) },
        ["erased"] => Event::Erased,
        ["tick"] => Event::Tick,
        _ => panic!("`{text}` is no event"),
    }
}

fn person(name: &str) -> Person {
    Person::parse(name).unwrap()
}

fn task(id: &str) -> TaskId {
    TaskId::parse(id).unwrap()
}

fn archive(id: &str, generation: Generation) -> Archive {
    Archive { id: ArchiveId::parse(id).unwrap(), generation, size: 1_400_000, sha256: Sha256([7; 32]) }
}

fn evidence(players: &str) -> Evidence {
    match players {
        "?" => Evidence::Unknown("no CAP_NET_RAW".into()),
        n => Evidence::count(n.parse().unwrap()),
    }
}

fn stop_why(why: &str) -> StopWhy {
    match why {
        "never" => StopWhy::NeverJoined,
        "left" => StopWhy::LastLeft,
        "cap" => StopWhy::Cap,
        "deaf" => StopWhy::Deaf,
        "ended" => StopWhy::GameEnded("exit code 1".into()),
        "reclaimed" => StopWhy::Reclaimed,
        _ => panic!("`{why}` is no reason to stop"),
    }
}

fn proof(proof: &str) -> Proof {
    match proof {
        "fresh" => Proof::Fresh,
        "untouched" => Proof::Untouched,
        "missing" => Proof::Missing("the save files are old".into()),
        _ => panic!("`{proof}` is no proof"),
    }
}

fn gone(how: &str) -> Gone {
    match how {
        "exited" => Gone::Exited,
        "crashed" => Gone::Crashed("exit code 139".into()),
        "oom" => Gone::OutOfMemory,
        "reclaimed" => Gone::Reclaimed,
        "never" => Gone::NeverExisted,
        _ => panic!("`{how}` is no way to be gone"),
    }
}
