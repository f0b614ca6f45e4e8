//! What people choose for a world's game: asked for when the world is made, changed by those who may, told to the launch, and
//! shown to nobody else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::LazyLock, time::Duration};

use domain::{
    Timestamp,
    access::Asker,
    commands::{self, Context, Problem, Reply, spec::Args},
    driver::Driver,
    event::Event,
    game::{Game, Players, Port, Protocol, Ready, Save, Signal, Stop},
    idle::Timers,
    settings::{Allow, Change, Kind, Need, Setting, SettingValue},
    sim::Memory,
    world::{GameId, Generation, GuildId, Person, SettingName, WorldId},
};
use expect_test::expect;

#[tokio::test]
async fn a_new_world_has_its_terms_accepted_and_what_is_required_chosen() {
    let driver = Memory::default().driver([game()]);
    let mut told = String::new();
    for given in [
        &[][..],
        &["set.eula=no"],
        &["set.eula=accept"],
        &["set.eula=accept", "set.password=hunt"],
        &["set.eula=accept", "set.password=hunter22", "set.colour=red"],
        &["set.eula=accept", "set.password=hunter22", "set.level=hard", "set.seed=7"],
    ] {
        told += &format!(
            "{}\n",
            ask(&driver, "world create", &[&["name=home", "game=toy"], given].concat()).await
        );
    }
    expect![[r#"
        BadInput: Terms must be accepted first: https://example.com/eula (read them, and if you accept them set `eula` to `accept`)
        BadInput: Terms must be accepted first: https://example.com/eula (read them, and if you accept them set `eula` to `accept`)
        BadInput: `password` must be chosen (`games` shows what each takes)
        BadInput: `password` (Password) is not valid (use 5 to 64 characters, none of " \ ` $ # ; = < > { } |, no space at either end)
        BadInput: there is no setting `colour` (there are: `password`, `level`, `seed`, `eula`)
        `home` is made, a world of Toy; `world start home` wakes it
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn what_is_chosen_is_shown_and_changed_and_secrets_are_for_those_who_may_wake_it() {
    let driver = home().await;
    let mut told = String::new();
    for (command, given) in [
        ("world set", &[][..]),
        ("world password", &[]),
        ("world set", &["setting=level", "value=EASY"]),
        ("world set", &["set.level=", "set.password=correct horse"]),
        ("world set", &["setting=level", "value=soft"]),
        ("world set", &["setting=password"]),
        ("world set", &["setting=password", "value=default"]),
        ("world set", &["setting=level", "value=default"]),
        ("world set", &["set.seed=8"]),
        ("world set", &[]),
        ("world password", &[]),
    ] {
        told += &format!("{}\n", ask(&driver, command, &[&["name=home"], given].concat()).await);
    }
    expect![[r#"
        of `home`, `password` is set (5 to 64 characters, none of " \ ` $ # ; = < > { } |, no space at either end); `level` is hard (easy, normal or hard); `seed` is 7 (a number from 0 to 9); `eula` is accepted (`accept`)
        Password: hunter22
        of `home`, `level` is easy
        of `home`, `password` is changed, `level` is the game's own again
        BadInput: `level` (Level) is not valid (use easy, normal or hard)
        of `home`, `password` is set (5 to 64 characters, none of " \ ` $ # ; = < > { } |, no space at either end); `level` is normal (easy, normal or hard); `seed` is 7 (a number from 0 to 9); `eula` is accepted (`accept`)
        BadInput: `password` must be chosen (`games` shows what each takes)
        of `home`, `level` is the game's own again
        of `home`, `seed` is 8
        of `home`, `password` is set (5 to 64 characters, none of " \ ` $ # ; = < > { } |, no space at either end); `level` is normal (easy, normal or hard); `seed` is 8 (a number from 0 to 9); `eula` is accepted (`accept`)
        Password: correct horse
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn who_may_not_learns_nothing() {
    let driver = home().await;
    ask(&driver, "access deny", &["action=start", "who=everyone"]).await;
    let mut told = String::new();
    for (command, given) in [("world password", &[][..]), ("world set", &["set.level=nonsense"])] {
        let stranger = Asker::Member { id: "5".into(), roles: vec![], manages: false };
        let given = [&["name=home"], given].concat();
        told += &format!("{}\n", ask_as(stranger, &driver, command, &given).await);
    }
    expect![[r#"
        Denied: `start` is for those who manage the server (ask one of them, or have them allow it to you: `access allow`)
        Denied: `settings` is for those who manage the server (ask one of them, or have them allow it to you: `access allow`)
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn a_launch_is_told_what_was_chosen_and_no_other_is() {
    let driver = home().await;
    ask(&driver, "world start", &["name=home"]).await;
    let chosen = driver.settings(&id(), Generation(1)).await.unwrap();
    let told: Vec<_> = chosen.0.iter().map(|(name, value)| format!("{name}={}", value.as_str())).collect();
    assert_eq!(told, ["eula=https://example.com/eula", "level=hard", "password=hunter22", "seed=7"]);
    assert!(driver.settings(&id(), Generation(2)).await.is_err());
    let said = ask(&driver, "world set", &["name=home", "set.level=easy"]).await;
    assert_eq!(said, "of `home`, `level` is easy; that counts from its next start");
}

#[tokio::test]
async fn what_only_a_new_world_can_have_stays_once_it_was_woken() {
    let driver = home().await;
    ask(&driver, "world start", &["name=home"]).await;
    let early = ask(&driver, "world set", &["name=home", "set.seed=8"]).await;
    let (generation, task) = (Generation(1), "t1".parse().unwrap());
    driver.apply(&id(), &[Event::Launched { generation, task }], now()).await.unwrap();
    let claimed = Event::Claimed { generation, task: "t1".parse().unwrap() };
    driver.apply(&id(), &[claimed], now()).await.unwrap();
    let late = ask(&driver, "world set", &["name=home", "set.seed=8"]).await;
    expect![[r#"
        Refused: `home` is not asleep (stop it first: `world stop home`)
        Refused: `seed` can be chosen only until a world is first woken, and `home` was (make a new world to have it otherwise)"#]]
    .assert_eq(&format!("{early}\n{late}"));
}

#[tokio::test]
async fn a_world_is_not_woken_with_what_its_game_takes_no_more() {
    let memory = Memory::default();
    create(&memory.driver([game()])).await;
    let said = async |change: fn(&mut Setting)| {
        let mut newer = game();
        newer.settings.iter_mut().for_each(change);
        ask(&memory.driver([newer]), "world start", &["name=home"]).await
    };
    let terms = said(|setting| {
        if let Kind::Terms(url) = &mut setting.kind {
            *url = "https://example.com/eula-2".into();
        }
    });
    let length = said(|setting| {
        if let Kind::Password(length, _) = &mut setting.kind {
            *length = 10..=64;
        }
    });
    expect![[r#"
        Refused: `home` cannot be woken with its settings: Terms must be accepted first: https://example.com/eula-2 (read them, and if you accept them set `eula` to `accept`: `world set home`)
        Refused: `home` cannot be woken with its settings: `password` (Password) is not valid (use 10 to 64 characters, none of " \ ` $ # ; = < > { } |, no space at either end: `world set home`)"#]]
    .assert_eq(&format!("{}\n{}", terms.await, length.await));
    let gone = Game { settings: vec![], ..game() };
    let started = ask(&memory.driver([gone]), "world start", &["name=home"]).await;
    assert!(
        started.starts_with("waking `home`"),
        "what is not declared any more counts for nothing: {started}"
    );
}

#[tokio::test]
async fn what_is_not_declared_any_more_is_forgotten_at_the_next_choice() {
    let memory = Memory::default();
    create(&memory.driver([game()])).await;
    let mut newer = game();
    newer.settings.retain(|setting| setting.name.as_str() != "seed");
    let driver = memory.driver([newer]);
    ask(&driver, "world set", &["name=home", "set.level=easy"]).await;
    let (world, _) = driver.store.load(&id()).await.unwrap();
    assert_eq!(
        world.settings.0.keys().map(SettingName::as_str).collect::<Vec<_>>(),
        ["eula", "level", "password"]
    );
}

/// Returns a driver with one world, asleep.
async fn home() -> Driver {
    let driver = Memory::default().driver([game()]);
    create(&driver).await;
    driver
}

async fn create(driver: &Driver) {
    let given =
        ["name=home", "game=toy", "set.eula=yes", "set.password=hunter22", "set.level=hard", "set.seed=7"];
    let made = ask(driver, "world create", &given).await;
    assert!(made.contains("is made"), "{made}");
}

async fn ask(driver: &Driver, command: &str, given: &[&str]) -> String {
    ask_as(Asker::Owner, driver, command, given).await
}

async fn ask_as(asker: Asker, driver: &Driver, command: &str, given: &[&str]) -> String {
    let given = given.iter().filter_map(|text| text.split_once('='));
    let args = Args(given.map(|(name, text)| (name.to_owned(), text.to_owned())).collect());
    let context = Context {
        guild: GuildId::parse("local").unwrap(),
        by: Person::parse("ann").unwrap(),
        asker,
        place: None,
        follower: None,
        now: now(),
        fresh_id: id(),
    };
    match commands::run(commands::read(command, &args).unwrap(), &context, driver).await {
        Ok(Reply::World { text, .. }) => text,
        Ok(Reply::Secrets(secrets)) => {
            let one = |(title, value): &(String, SettingValue)| format!("{title}: {}", value.as_str());
            secrets.all.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Ok(other) => format!("{other:?}"),
        Err(Problem { kind, text, hint, .. }) => format!("{kind:?}: {text} ({hint})"),
    }
}

fn now() -> Timestamp {
    static NOW: LazyLock<Timestamp> = LazyLock::new(|| "2026-01-01T18:00:00Z".parse().unwrap());
    *NOW
}

fn id() -> WorldId {
    WorldId::parse("w1").unwrap()
}

fn game() -> Game {
    let setting = |name: &str, title: &str, kind| Setting {
        name: SettingName::parse(name).unwrap(),
        title: title.into(),
        about: None,
        kind,
        default: None,
        need: Need::Optional,
        change: Change::Any,
    };
    let levels = ["easy", "normal", "hard"].map(str::to_owned);
    Game {
        id: GameId::parse("toy").unwrap(),
        name: "Toy".into(),
        image: "toy".into(),
        architectures: vec!["amd64".into()],
        cpu: 256,
        memory_mib: 512,
        ports: vec![Port { name: "game".into(), number: 30000, protocol: Protocol::Udp }],
        save: Save { paths: vec!["world".into()], exclude: vec![] },
        import: None,
        settings: vec![
            Setting {
                need: Need::Required,
                ..setting("password", "Password", Kind::Password(5..=64, Allow::Plain))
            },
            Setting {
                default: SettingValue::parse("normal").ok(),
                ..setting("level", "Level", Kind::Choice(levels.into()))
            },
            Setting { change: Change::Create, ..setting("seed", "Seed", Kind::Number(0..=9)) },
            Setting {
                need: Need::Required,
                ..setting("eula", "Terms", Kind::Terms("https://example.com/eula".into()))
            },
        ],
        stop: Stop { signal: Signal::Int, grace: Duration::from_secs(60) },
        ready: Ready { typical: Duration::from_secs(1), limit: Duration::from_secs(60) },
        timers: Timers::DEFAULT,
        players: Players::default(),
        query: None,
        console: None,
        scripts: None,
    }
}
