//! The cloud end to end: the deployed functions, real watchdogs, real servers and real clients.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    clients::{LuantiClient, surely},
    cloud::{
        Caller, Cloud, Plan, account,
        discord::Trouble,
        fargate::{Fault, Task},
        people::{ANN, Answered, BOB},
    },
    dormouse::players,
};
use emulators::{When, lambda::Delivery};
use expect_test::expect_file;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long things may take that take some seconds here, on a machine that does much else.
const SOON: Duration = s(60);

#[test]
fn an_evening_goes_from_start_to_archive_and_everybody_is_told() -> Result<()> {
    play(&Plan::new("evening"), |cloud| {
        let id = cloud.create("valhalla", ["10m", "20s"])?;
        let started = cloud.on(BOB, "start", "valhalla")?;
        ensure!(started.text().contains("Waking `valhalla`"), "it said: {}", started.text());
        let awake = cloud.wait_for("valhalla", "awake", SOON)?;
        let task = cloud.only_task(&id)?;
        let (host, port) = address(&awake)?;
        ensure!(Some(host) == task.address.map(IpAddr::from), "players are sent to {host}");
        shown(cloud, &started, &format!("Join at `{host}:{port}`"))?;

        let mut ann = join(cloud, 0, "ann", &task)?;
        cloud.wait("valhalla", "seen with a player", SOON, |world| players(world) == Some(1))?;
        ann.leave()?;
        cloud.story("ann has left");
        cloud.wait("valhalla", "warned", SOON, |world| world["stops_in_s"].is_u64())?;
        shown(cloud, &started, "It goes to sleep")?;
        let asleep = ends_well(cloud, "valhalla", &started, "since the last player has left")?;
        can_be_had(cloud, &asleep)?;
        ensure!(task_ended(cloud, &id)? == Some(0), "the task ended otherwise");
        let logs = cloud.logs();
        let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok();
        ensure!(logs.lines().all(is_json), "a line is no JSON:\n{logs}");
        Ok(())
    })
}

#[test]
fn two_people_who_start_at_once_start_one_task() -> Result<()> {
    play(&Plan::new("double"), |cloud| {
        let id = cloud.create("valhalla", ["20s", "10m"])?;
        let (ann, bob) = thread::scope(|scope| {
            let ann = scope.spawn(|| cloud.on(ANN, "start", "valhalla"));
            let bob = cloud.on(BOB, "start", "valhalla");
            (ann.join().expect("no panic"), bob)
        });
        let (ann, bob) = (ann?, bob?);
        let is_first = |answer: &Answered| answer.text().contains("Waking `valhalla`");
        ensure!(is_first(&ann) != is_first(&bob), "{}\n{}", ann.text(), bob.text());
        let (second, first_name) = if is_first(&ann) { (&bob, "ann") } else { (&ann, "bob") };
        let told = format!("already waking, asked for by {first_name}");
        ensure!(second.text().contains(&told), "the second was told: {}", second.text());
        cloud.wait_for("valhalla", "awake", SOON)?;
        for answer in [&ann, &bob] {
            shown(cloud, answer, "Join at `")?;
        }
        ends_well(cloud, "valhalla", second, "since nobody joined")?;
        cloud.only_task(&id).map(drop)
    })
}

#[test]
fn messages_that_come_twice_and_in_disorder_start_one_task_and_end_it_once() -> Result<()> {
    let plan = Plan { delivery: Delivery::TwiceAndReversed, ..Plan::new("twice") };
    play(&plan, |cloud| {
        cloud.moto.repeat_task_events()?;
        let id = cloud.create("valhalla", ["10m", "10m"])?;
        let started = cloud.on(ANN, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        cloud.on(BOB, "stop", "valhalla")?;
        ends_well(cloud, "valhalla", &started, "asked for by bob")?;
        cloud.only_task(&id).map(drop)
    })
}

#[test]
fn a_worker_that_is_killed_at_any_step_loses_nothing() -> Result<()> {
    const LANES: [&str; 3] = ["killed1", "killed2", "killed3"];
    thread::scope(|scope| {
        let lanes = LANES.iter().enumerate();
        let lanes: Vec<_> =
            lanes.map(|(lane, name)| scope.spawn(move || kill_worker(name, lane, LANES.len()))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().expect("no panic"))
    })
}

/// Kills the worker at every `step`th of its calls, beginning with `first`: each time in another evening.
fn kill_worker(cloud: &'static str, first: usize, step: usize) -> Result<()> {
    play(&Plan { players: 0, ..Plan::new(cloud) }, |cloud| {
        let calls = short_evening(cloud, "unharmed")?;
        cloud.story(&format!("an evening changes something {} times: {}", calls.len(), calls.join(", ")));
        ensure!(calls.len() > 15, "it takes more than that");
        for n in (1..=calls.len()).skip(first).step_by(step) {
            for (word, when) in [("before", When::Before), ("after", When::After)] {
                cloud.tap.kill_at(n, when);
                let begun = Instant::now();
                short_evening(cloud, &format!("killed-{n}-{word}"))?;
                let call = cloud.tap.killed_at().unwrap_or_else(|| "nothing: it had less to do".into());
                cloud.story(&format!("killed {word} call {n}, {call}: {:.1?}", begun.elapsed()));
            }
        }
        Ok(())
    })
}

#[test]
fn a_launch_that_comes_to_nothing_is_told_and_can_be_tried_again() -> Result<()> {
    let never = vec![("exec minetestserver", "exec sleep 1000 #"), ("limit = \"2m\"", "limit = \"5s\"")];
    play(&Plan { catalogue: never, ..Plan::new("nothing") }, |cloud| {
        let id = cloud.create("valhalla", ["10m", "10m"])?;
        for (fault, words) in [
            (Fault::NoImage, "its image could not be pulled"),
            (Fault::HostBroken, "AWS had an error of its own"),
            (Fault::OutOfMemory, "out of memory"),
        ] {
            cloud.fargate.fault(fault);
            let started = cloud.on(BOB, "start", "valhalla")?;
            ends(cloud, "valhalla", &started, words)?;
        }
        cloud.moto.no_capacity(1)?;
        let started = cloud.on(BOB, "start", "valhalla")?;
        ends(cloud, "valhalla", &started, "not ready")?;
        let tasks = cloud.fargate.tasks_of(&id);
        ensure!(tasks.len() == 4, "{} tasks for four launches", tasks.len());
        let providers: Vec<_> = tasks.iter().map(|task| &task.asked["capacityProviderName"]).collect();
        ensure!(
            providers == ["FARGATE_SPOT", "FARGATE_SPOT", "FARGATE_SPOT", "FARGATE"],
            "they ran on {providers:?}"
        );
        Ok(())
    })
}

#[test]
fn a_task_that_spot_reclaims_is_saved_and_archived_in_time() -> Result<()> {
    play(&Plan::new("spot"), |cloud| {
        let id = cloud.create("valhalla", ["10m", "10m"])?;
        let started = cloud.on(BOB, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        let task = cloud.only_task(&id)?;
        let _ann = join(cloud, 0, "ann", &task)?;
        cloud.wait("valhalla", "seen with a player", SOON, |world| players(world) == Some(1))?;
        cloud.moto.end_task(&task.id, "SpotInterruption", "Your Spot Task was interrupted.", &[])?;
        cloud.story("Spot takes the task back");
        let asleep = ends_well(cloud, "valhalla", &started, "since the host ended its task")?;
        let task = cloud.only_task(&id)?;
        let (told, ended) = task.told_at.zip(task.ended).context("it was not told, or has not ended")?;
        let took = ended.0.duration_since(told);
        cloud.story(&format!("saved, archived and ended in {took:.1?} of 120 s"));
        ensure!(took < s(60) && ended.1 == Some(0), "{took:?} {ended:?}");
        can_be_had(cloud, &asleep)
    })
}

#[test]
fn a_report_that_is_lost_disturbs_nobody() -> Result<()> {
    play(&Plan::new("lost"), |cloud| {
        let id = cloud.create("valhalla", ["10m", "10m"])?;
        cloud.on(BOB, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        let task = cloud.only_task(&id)?;
        let ann = join(cloud, 0, "ann", &task)?;
        cloud.wait("valhalla", "seen with a player", SOON, |world| players(world) == Some(1))?;
        let machine = task.address.context("no address")?;
        cloud.lab.server().mute_towards(machine)?;
        cloud.stays("valhalla", "awake while no report is answered", s(15), |world| {
            world["state"] == "awake" && players(world) == Some(1)
        })?;
        let heard_ago = |world: &Value| world["seen_s_ago"].as_u64().unwrap_or(u64::MAX);
        ensure!(heard_ago(&cloud.world("valhalla")?) >= 5, "reports arrived all the same");
        cloud.lab.server().speak_towards(machine)?;
        cloud.wait("valhalla", "heard of again", s(30), |world| heard_ago(world) <= 2)?;
        let is_missed = || task.file("container.log").contains("did not take a report");
        cloud.until("the watchdog has missed an answer", s(20), is_missed)?;
        ann.act(s(2))?;
        cloud.stays("valhalla", "awake", s(5), |world| {
            world["state"] == "awake" && players(world) == Some(1)
        })?;
        ensure!(!task.file("game.log").contains("leaves game"), "the player was disturbed");
        cloud.only_task(&id).map(drop)
    })
}

#[test]
fn what_discord_makes_wait_is_waited_for_and_past_an_answers_time_the_card_goes_on() -> Result<()> {
    play(&Plan::new("patience"), |cloud| {
        cloud.create("valhalla", ["10m", "10m"])?;
        let troubles = [Trouble::NotRegistered, Trouble::RateLimited(1.5), Trouble::NotRegistered];
        cloud.discord.trouble(&troubles);
        let started = cloud.on(BOB, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        shown(cloud, &started, "Join at `")?;
        ensure!(cloud.discord.trouble_left() == 0, "there was less trouble than planned");
        let statuses: Vec<_> = cloud.discord.requests().iter().map(|request| request.status).collect();
        ensure!(statuses.contains(&429) && statuses.contains(&404), "{statuses:?}");

        cloud.discord.expire(&started.token);
        cloud.story("the answer's time is over");
        let before = cloud.discord.answer(&started.token);
        let stopped = cloud.on(ANN, "stop", "valhalla")?;
        ends_well(cloud, "valhalla", &stopped, "asked for by ann")?;
        ensure!(cloud.discord.answer(&started.token) == before, "an answer was changed past its time");
        Ok(())
    })
}

#[test]
fn the_doctor_finds_nothing_wrong_with_a_deployment_that_works() -> Result<()> {
    play(&Plan { players: 0, ..Plan::new("doctor") }, |cloud| {
        let patient = cloud.patient()?;
        patient.register(&cloud.secrets.bot)?;
        cloud.discord.send_to(&format!("{}/discord/interactions", patient.url()));
        let id = cloud.create("valhalla", ["10m", "10m"])?;
        cloud.on(BOB, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        account::set_visibility(&cloud.moto, s(330))?;
        let (said, code) = patient.examine()?;
        cloud.story(&format!("the doctor says:\n{said}"));
        ensure!(
            code == Some(0) && said.lines().all(|line| line.starts_with("ok ")),
            "something is amiss:\n{said}"
        );
        ensure!(said.contains("1 runs, for a world and within its cap"), "it does not see the task:\n{said}");
        for secret in [&cloud.secrets.launch, &cloud.secrets.api, &cloud.secrets.bot] {
            ensure!(!said.contains(secret.as_str()), "a secret was shown");
        }
        cloud.only_task(&id).map(drop)
    })
}

/// As `docs/aws.md` has it: the table as it was, into another one, and its items back.
#[test]
fn worlds_whose_records_were_lost_come_back_as_they_were_at_a_moment_before() -> Result<()> {
    play(&Plan { players: 0, ..Plan::new("lost") }, |cloud| {
        let made = |action: &str, request: Value| {
            account::call(&cloud.moto, &format!("DynamoDB_20120810.{action}"), &request)
        };
        cloud.create("valhalla", ["10m", "10m"])?;
        cloud.on(ANN, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        let stopped = cloud.on(ANN, "stop", "valhalla")?;
        let before = ends_well(cloud, "valhalla", &stopped, "asked for by ann")?;

        let copy = json!({
            "SourceTableName": account::TABLE, "TargetTableName": "before", "UseLatestRestorableTime": true,
        });
        made("RestoreTableToPointInTime", copy)?;
        for item in items(&made("Scan", json!({ "TableName": account::TABLE }))?)? {
            let key = json!({ "pk": item["pk"], "sk": item["sk"] });
            made("DeleteItem", json!({ "TableName": account::TABLE, "Key": key }))?;
        }
        ensure!(cloud.world("valhalla").is_err(), "it is not lost");
        for item in items(&made("Scan", json!({ "TableName": "before" }))?)? {
            made("PutItem", json!({ "TableName": account::TABLE, "Item": item }))?;
        }
        cloud.story("the records are back");

        ensure!(cloud.world("valhalla")? == before, "it is another world now");
        can_be_had(cloud, &before)?;
        let started = cloud.on(BOB, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        cloud.on(BOB, "stop", "valhalla")?;
        ends_well(cloud, "valhalla", &started, "asked for by bob").map(drop)
    })
}

/// Returns the items of a scan that came in one answer.
fn items(scanned: &Value) -> Result<Vec<Value>> {
    ensure!(scanned.get("LastEvaluatedKey").is_none(), "there are more");
    scanned["Items"].as_array().cloned().context("no items")
}

#[test]
fn every_call_of_the_functions_is_one_that_the_template_was_compared_with() -> Result<()> {
    play(&Plan { players: 0, ..Plan::new("calls") }, |cloud| {
        // Each archive takes the place of the one before.
        cloud.create("valhalla", ["10m", "10m"])?;
        let keep = [("name", "valhalla"), ("keep-newest", "1"), ("keep-daily", "0"), ("keep-weekly", "0")];
        cloud.people.command(ANN, "world settings", &keep)?;
        cloud.on(ANN, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        cloud.on(BOB, "backup", "valhalla")?;
        cloud.wait("valhalla", "archived while awake", SOON, |world| world["archives"] == 1)?;
        let stopped = cloud.on(BOB, "stop", "valhalla")?;
        let asleep = ends_well(cloud, "valhalla", &stopped, "asked for by bob")?;
        can_be_had(cloud, &asleep)?;

        let newest = asleep["archive"]["id"].as_str().context("no archive")?;
        let restore = [("name", "valhalla"), ("backup", newest)];
        let begun = cloud.people.command(ANN, "world restore", &restore)?;
        let restored = ends(cloud, "valhalla", &begun, "restored from archive")?;
        bring_in(cloud, "valhalla", &fs::read(cloud.archive(&restored)?)?)?;
        cloud.people.command(BOB, "world list", &[])?;
        cloud.on(ANN, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        let stopped = cloud.on(ANN, "stop", "valhalla")?;
        ends_well(cloud, "valhalla", &stopped, "asked for by ann")?;

        cloud.delete("valhalla")?;
        let is_erasure = |task: &Task| task.asked["family"] == "dormouse-erase" && task.ended.is_some();
        let is_erased = || cloud.fargate.tasks().iter().any(is_erasure);
        cloud.until("its files are removed", SOON, is_erased)?;
        // The last act of all: its name is free again.
        let frees = |call: &String| call.starts_with("dynamodb:DeleteItem");
        let is_free = || cloud.needed(Caller::Worker).is_ok_and(|calls| calls.iter().any(frees));
        cloud.until("its name is free again", SOON, is_free)?;
        for who in [Caller::FrontDoor, Caller::Worker] {
            let made: Vec<_> = cloud.needed(who)?.into_iter().collect();
            expect_file![calls_file(who)].assert_eq(&(made.join("\n") + "\n"));
        }
        Ok(())
    })
}

/// Returns the file of the calls that a function makes, which `cdk` compares with what its role is allowed.
fn calls_file(who: Caller) -> PathBuf {
    let name = match who {
        Caller::FrontDoor => "front-door",
        Caller::Worker => "worker",
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../cdk/test/calls/{name}.txt"))
}

/// Checks that the functions made no call that is not in the files.
fn keeps_to_its_calls(cloud: &Cloud) -> Result<()> {
    for who in [Caller::FrontDoor, Caller::Worker] {
        let known = fs::read_to_string(calls_file(who)).unwrap_or_default();
        let known: BTreeSet<_> = known.lines().collect();
        let made = cloud.needed(who)?;
        let new: Vec<_> = made.iter().filter(|call| !known.contains(call.as_str())).collect();
        ensure!(new.is_empty(), "{who:?} made calls that the template was not compared with: {new:#?}");
        ensure!(!made.is_empty(), "no call of {who:?} was seen");
    }
    Ok(())
}

/// Plays `evening` in a cloud by `plan`; a failure shows what everybody has said.
fn play(plan: &Plan, evening: impl FnOnce(&Cloud) -> Result<()>) -> Result<()> {
    let cloud = Cloud::start(plan)?;
    let played = evening(&cloud).and_then(|()| {
        cloud.discord.check()?;
        keeps_secrets(&cloud)?;
        names_worlds_in_logs(&cloud)?;
        keeps_to_its_calls(&cloud)?;
        let dead = cloud.dead_letters()?;
        ensure!(dead == 0, "{dead} messages could not be worked on");
        Ok(())
    });
    played.map_err(|error| error.context(cloud.evidence()))
}

/// Returns where players are sent.
fn address(world: &Value) -> Result<(IpAddr, u16)> {
    let (host, port) = world["address"].as_str().and_then(|a| a.rsplit_once(':')).context("not awake")?;
    Ok((host.parse()?, port.parse()?))
}

#[test]
fn archives_are_made_put_back_and_brought_in_from_discord() -> Result<()> {
    play(&Plan { players: 0, ..Plan::new("archives") }, |cloud| {
        cloud.create("valhalla", ["10m", "10m"])?;
        cloud.on(ANN, "start", "valhalla")?;
        cloud.wait_for("valhalla", "awake", SOON)?;
        // While it is awake.
        cloud.on(BOB, "backup", "valhalla")?;
        cloud.wait("valhalla", "archived while awake", SOON, |world| {
            world["state"] == "awake" && world["archives"] == 1
        })?;
        let link = cloud.on(BOB, "export", "valhalla")?.link()?;
        let zip = cloud.download(&link)?;
        ensure!(zip.starts_with(b"PK"), "the link of an awake world gives something else");
        let stopped = cloud.on(BOB, "stop", "valhalla")?;
        let asleep = ends_well(cloud, "valhalla", &stopped, "asked for by bob")?;

        // Put back, by somebody who may.
        let offered = cloud.people.type_into(BOB, "world restore", "valhalla", "backup", "")?;
        ensure!(offered.len() > 1 && asleep["archive"]["id"] == offered[0], "offered: {offered:?}");
        let oldest = offered.last().context("nothing is offered")?.clone();
        let options = [("name", "valhalla"), ("backup", oldest.as_str())];
        let denied = cloud.people.command(BOB, "world restore", &options)?;
        ensure!(denied.text().contains("`restore` is for"), "it said: {}", denied.text());
        let begun = cloud.people.command(ANN, "world restore", &options)?;
        ends(cloud, "valhalla", &begun, &format!("restored from archive {oldest}"))?;

        // Brought in: the archive, as an upload to another world.
        cloud.create("midgard", ["10m", "10m"])?;
        bring_in(cloud, "midgard", &zip)?;
        let started = cloud.on(ANN, "start", "midgard")?;
        cloud.wait_for("midgard", "awake", SOON)?;
        shown(cloud, &started, "Join at `")?;
        let stopped = cloud.on(ANN, "stop", "midgard")?;
        ends_well(cloud, "midgard", &stopped, "asked for by ann").map(drop)
    })
}

/// Has a sleeping world replaced by an upload.
fn bring_in(cloud: &Cloud, world: &str, zip: &[u8]) -> Result<()> {
    let inbox = cloud.on(ANN, "import", world)?;
    ensure!(inbox.is_whispered(), "everybody was given the link");
    let (url, id) = (inbox.link()?, inbox.upload()?);
    let options = [("name", world), ("upload", id.as_str())];
    let early = cloud.people.command(ANN, "world import", &options)?;
    ensure!(early.text().contains("Nothing was uploaded"), "it said: {}", early.text());
    ureq::put(url).send(zip)?;
    let begun = cloud.people.command(ANN, "world import", &options)?;
    ends(cloud, world, &begun, "replaced by what was uploaded: a world found by").map(drop)
}

/// Has a player join the game of `task`.
fn join(cloud: &Cloud, client: usize, name: &'static str, task: &Task) -> Result<LuantiClient> {
    let address = task.address.context("a task without address")?;
    let joined = || Ok(LuantiClient::joined(name, &task.file("game.log")));
    let join = || LuantiClient::join(Some(cloud.lab.client(client)), address.into(), 30000, name);
    let player = surely(join, joined)?;
    cloud.story(&format!("{name} has joined"));
    Ok(player)
}

/// Waits until `words` stand in the answer and on the one card.
fn shown(cloud: &Cloud, answer: &Answered, words: &str) -> Result<()> {
    cloud.until(&format!("the answer shows: {words}"), s(20), || {
        cloud.discord.answer(&answer.token).contains(words)
    })?;
    cloud.until(&format!("the card shows: {words}"), s(20), || {
        cloud.discord.messages().iter().any(|card| card.contains(words))
    })
}

/// Waits until the world is asleep because of `why` and everybody reads so.
fn ends(cloud: &Cloud, name: &str, answer: &Answered, why: &str) -> Result<Value> {
    let asleep = cloud.wait_for(name, "asleep", s(90))?;
    let outcome = asleep["last"]["outcome"].as_str().unwrap_or_default();
    cloud.story(&format!("{name} ended: {outcome}"));
    ensure!(outcome.contains(why), "it ended otherwise: {outcome}");
    shown(cloud, answer, &format!("{name} — asleep"))?;
    let cards = cloud.discord.messages();
    let cards: Vec<_> = cards.iter().filter(|card| card.contains(&format!("{name} — "))).collect();
    ensure!(cards.len() == 1, "{} cards: {cards:#?}", cards.len());
    Ok(asleep)
}

/// Waits like [`ends`], and checks that the world was saved and archived.
fn ends_well(cloud: &Cloud, name: &str, answer: &Answered, why: &str) -> Result<Value> {
    let asleep = ends(cloud, name, answer, why)?;
    let outcome = asleep["last"]["outcome"].as_str().unwrap_or_default();
    ensure!(outcome.starts_with("saved and archived"), "it ended otherwise: {outcome}");
    let archive = fs::read(cloud.archive(&asleep)?).context("S3 has no archive")?;
    ensure!(sha256(&archive) == asleep["archive"]["sha256"], "the archive is another one");
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(archive))?;
    ensure!(zip.by_name("world/world.mt").is_ok(), "the archive holds no world of Luanti");
    Ok(asleep)
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that the link that people are given downloads the archive.
fn can_be_had(cloud: &Cloud, asleep: &Value) -> Result<()> {
    let name = asleep["name"].as_str().unwrap_or_default();
    let by_button = cloud.people.press(BOB, &format!("v1/export/{name}"))?;
    for answered in [cloud.on(BOB, "export", name)?, by_button] {
        ensure!(answered.is_whispered(), "everybody was given the link: {}", answered.text());
        let archive = cloud.download(&answered.link()?)?;
        ensure!(sha256(&archive) == asleep["archive"]["sha256"], "the link gives something else");
    }
    cloud.story("both links download the archive");
    Ok(())
}

/// Waits until the world's only task has ended and returns its exit code.
fn task_ended(cloud: &Cloud, id: &str) -> Result<Option<i32>> {
    cloud
        .until("the task has ended", s(30), || cloud.only_task(id).is_ok_and(|task| task.ended.is_some()))?;
    Ok(cloud.only_task(id)?.ended.and_then(|(_, code)| code))
}

/// Wakes a new world and puts it to sleep, and returns which calls the worker made.
fn short_evening(cloud: &Cloud, name: &str) -> Result<Vec<String>> {
    let id = cloud.create(name, ["10m", "10m"])?;
    let from = cloud.tap.calls().len();
    let started = cloud.on(ANN, "start", name)?;
    cloud.wait_for(name, "awake", SOON)?;
    cloud.on(BOB, "stop", name)?;
    ends_well(cloud, name, &started, "asked for by bob")?;
    let task = cloud.only_task(&id)?;
    ensure!(task.ended.is_some_and(|(_, code)| code == Some(0)), "its task has not ended well");
    Ok(cloud.tap.calls().split_off(from))
}

/// Checks that no secret stands where others read.
fn keeps_secrets(cloud: &Cloud) -> Result<()> {
    let key = cloud.s3.secret_key().to_owned();
    let mut secrets = vec![&cloud.secrets.launch, &cloud.secrets.api, &cloud.secrets.bot, &key];
    let tokens = cloud.discord.tokens();
    secrets.extend(&tokens);
    // What removes a world reports to nobody.
    let launches = cloud.fargate.tasks().into_iter().filter(|task| task.asked["family"] != "dormouse-erase");
    let launch_tokens: Vec<_> = launches.map(|task| launch_token(&task)).collect::<Result<_>>()?;
    secrets.extend(&launch_tokens);
    let mut places = vec![("a function's log", cloud.logs())];
    places.extend(cloud.fargate.tasks().iter().map(|task| ("a tag", task.asked["tags"].to_string())));
    places.extend(cloud.discord.requests().iter().map(|request| ("a payload", request.body.to_string())));
    places.extend(tokens.iter().map(|token| ("an answer", cloud.discord.answer(token))));
    for (place, text) in &places {
        for secret in &secrets {
            ensure!(!text.contains(secret.as_str()), "a secret stands in {place}");
        }
    }
    cloud.story(&format!("none of {} secrets stands in any of {} places", secrets.len(), places.len()));
    Ok(())
}

fn launch_token(task: &Task) -> Result<String> {
    let environment = &task.asked["overrides"]["containerOverrides"][0]["environment"];
    let token = environment.as_array().into_iter().flatten().find(|one| one["name"] == "DORMOUSE_TOKEN");
    let token = token.and_then(|one| one["value"].as_str());
    token.map(str::to_owned).context("a task without token")
}

/// Checks that every line that the functions have logged about a world names it and the launch.
fn names_worlds_in_logs(cloud: &Cloud) -> Result<()> {
    // A function that was killed may have been in the middle of a line.
    let lines = cloud.logs();
    let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let field = |line: &Value, name: &str| line.get(name).is_some() || line["span"].get(name).is_some();
    let about: Vec<_> =
        lines.iter().filter(|line| line.get("_aws").is_none() && line["message"] != "swept").collect();
    for line in &about {
        ensure!(field(line, "world") && field(line, "generation"), "{line} names no world or no launch");
    }
    ensure!(!about.is_empty(), "nothing was logged");
    cloud.story(&format!("all of {} lines name the world and the launch", about.len()));
    Ok(())
}
