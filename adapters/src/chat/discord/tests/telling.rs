//! What happens without asking: the answers that are followed and the card, as the stand-in for Discord has them.

use std::time::Duration;

use domain::{
    Timestamp,
    effect::{Notice, notice},
    event::Event,
    idle::Evidence,
    ports::{Chat, Unavailable},
    talk::CardId,
    world::{Asked, Generation, Outcome, World},
};
use expect_test::expect;
use tokio::time::Instant;

use super::{
    standin::{Silent, StandIn, Trouble},
    table::{BOB, BOT_TOKEN, CHANNEL, Table, at, config, message, talking},
};
use crate::chat::discord::Discord;

fn discord(table: &Table, stand_in: &StandIn, token: Option<&str>) -> Discord {
    Discord::new(config(&stand_in.url, token), table.driver.games.clone(), || at(100))
}

async fn tell(discord: &Discord, world: &World) -> Result<Option<CardId>, Unavailable> {
    discord.tell(world, &notice(world).unwrap()).await
}

/// Returns a table with a world that somebody wakes and follows.
async fn waking() -> Table {
    let mut table = Table::with_world().await;
    table.on_valhalla(BOB, "world start").await;
    table
}

#[tokio::test(start_paused = true)]
async fn answers_are_changed_and_the_card_is_posted_once_and_then_changed() {
    let (mut table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    let card = tell(&discord, &table.world().await).await.unwrap().unwrap();
    assert_eq!(card.as_str(), format!("{CHANNEL}/9000"));
    // The worker dies before it is remembered: the same card.
    assert_eq!(tell(&discord, &table.world().await).await.unwrap(), Some(card.clone()));
    table.work().await;
    table.wake().await;
    let awake = talking(table.world().await, Some(card.as_str()));
    assert_eq!(tell(&discord, &awake).await.unwrap(), Some(card.clone()));
    let held = stand_in.lock();
    assert_eq!(held.messages.len(), 1);
    let shown = message(&held.messages[card.as_str()]).join("\n");
    expect![[r#"
        `valhalla` is awake: join at `203.0.113.7:30000`.
        | valhalla — awake
        | Join at `203.0.113.7:30000`.
        | It woke <t:1800000090:R>: bob\_\*the\*\_builder wanted it <t:1800000000:R>.
        | It runs until <t:1800043290:t> at the longest, <t:1800043290:R>.
        | It costs money by the second until it sleeps.
        | Luanti
        [Stay 1 h] [Stop] [Export] [Refresh]"#]]
    .assert_eq(&shown);
    let answers: Vec<_> = held.answers.values().map(|answer| message(answer).join("\n")).collect();
    assert_eq!(answers, [shown.clone(), shown]);
    drop(held);
    let mut requests = stand_in.requests();
    // Answers are changed at the same time.
    requests[5..].sort();
    expect![[r#"
        POST /channels/1300000000000000003/messages
        PATCH /webhooks/1100000000000000001/aW50ZXJhY3Rpb2463/messages/@original
        POST /channels/1300000000000000003/messages
        PATCH /webhooks/1100000000000000001/aW50ZXJhY3Rpb2463/messages/@original
        PATCH /channels/1300000000000000003/messages/9000
        PATCH /webhooks/1100000000000000001/aW50ZXJhY3Rpb2463/messages/@original
        PATCH /webhooks/1100000000000000001/aW50ZXJhY3Rpb2465/messages/@original"#]]
    .assert_eq(&requests.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_card_that_was_posted_before_the_world_went_on_is_brought_up_to_date() {
    let (mut table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    tell(&discord, &table.world().await).await.unwrap();
    table.work().await;
    table.wake().await;
    let card = tell(&discord, &table.world().await).await.unwrap().unwrap();
    let held = stand_in.lock();
    assert_eq!(held.messages.len(), 1);
    assert!(held.messages[card.as_str()]["content"].as_str().unwrap().contains("is awake"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_past_its_time_is_left_alone_and_the_card_goes_on() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let later = Discord::new(config(&stand_in.url, Some(BOT_TOKEN)), table.driver.games.clone(), || at(900));
    assert!(tell(&later, &table.world().await).await.unwrap().is_some());
    assert_eq!(stand_in.requests(), [format!("POST /channels/{CHANNEL}/messages")]);
}

#[tokio::test(start_paused = true)]
async fn without_a_bot_token_only_answers_are_changed() {
    let (table, stand_in) = (waking().await, StandIn::new());
    assert_eq!(tell(&discord(&table, &stand_in, None), &table.world().await).await, Ok(None));
    assert_eq!(stand_in.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_counts_as_shown() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    let world = talking(table.world().await, Some(&format!("{CHANNEL}/1")));
    // The card was removed, the channel is not the bot's any more, and the answer's time is over.
    stand_in.trouble(&[Trouble::Error(404, 10008), Trouble::Error(403, 50001), Trouble::Error(401, 50027)]);
    assert_eq!(tell(&discord, &world).await, Ok(None));
    assert_eq!(stand_in.requests().len(), 3);
    // A card that was removed is posted anew where the bot may.
    assert_eq!(tell(&discord, &world).await.unwrap().unwrap().as_str(), format!("{CHANNEL}/9000"));
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_reach_is_told_again() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    let world = talking(table.world().await, Some(&format!("{CHANNEL}/1")));
    stand_in.trouble(&[Trouble::BadGateway; 30]);
    let error = tell(&discord, &world).await.unwrap_err().to_string();
    assert!(!error.contains("aW50"), "{error}");
    stand_in.lock().troubles.clear();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(tell(&discord, &world).await.is_ok());
}

#[tokio::test]
async fn a_notice_takes_no_longer_than_its_limit_however_many_follow() {
    let (table, silent) = (followed_by(10).await, Silent::new());
    let world = talking(table.world().await, Some(&format!("{CHANNEL}/1")));
    assert_eq!(world.talk.followers.len(), 10);
    for (token, card) in [(Some(BOT_TOKEN), &world), (None, &talking(world.clone(), None))] {
        let discord = Discord::new(config(&silent.url, token), table.driver.games.clone(), || at(100));
        let begun = std::time::Instant::now();
        let until = Instant::now() + Duration::from_millis(400);
        assert!(discord.tell_until(card, &notice(card).unwrap(), until).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_card_is_shown_a_missed_answer_is_not_told_again() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let world = table.world().await;
    let with_card = discord(&table, &stand_in, Some(BOT_TOKEN));
    let card = tell(&with_card, &world).await.unwrap().unwrap();
    stand_in.trouble(&[Trouble::Nothing, Trouble::RateLimited(60.0)]);
    let world = talking(world, Some(card.as_str()));
    assert_eq!(tell(&with_card, &world).await, Ok(Some(card)));
    // Without a card the answer is all that there is.
    stand_in.trouble(&[Trouble::RateLimited(60.0)]);
    assert!(tell(&discord(&table, &stand_in, None), &world).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_not_run_into_at_every_look() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    let world = talking(table.world().await, Some(&format!("{CHANNEL}/1")));
    stand_in.trouble(&[Trouble::RateLimited(60.0)]);
    for _ in 0..50 {
        assert!(tell(&discord, &world).await.is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(stand_in.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_came_to_be_is_waited_for_only_while_it_is_young() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let world = table.world().await;
    let clocks: [(fn() -> Timestamp, usize); 3] = [(|| at(3), 6), (|| at(9), 6), (|| at(11), 1)];
    for (clock, expected) in clocks {
        let discord = Discord::new(config(&stand_in.url, None), table.driver.games.clone(), clock);
        stand_in.trouble(&[Trouble::NotRegistered; 6]);
        assert_eq!(tell(&discord, &world).await, Ok(None));
        assert_eq!(stand_in.requests().len(), expected);
        stand_in.lock().troubles.clear();
    }
}

/// Returns a table with a world that wakes and whose last answers are all followed.
async fn followed_by(count: usize) -> Table {
    let mut table = waking().await;
    for _ in 1..count {
        table.on_valhalla(BOB, "world start").await;
    }
    table
}

#[tokio::test(start_paused = true)]
async fn a_card_that_was_just_posted_is_remembered_even_if_an_answer_was_missed() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    stand_in.trouble(&[Trouble::Nothing, Trouble::RateLimited(60.0)]);
    assert!(tell(&discord, &table.world().await).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_bot_token_stops_nothing_and_forgets_no_card() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    let card = format!("{CHANNEL}/9000");
    let world = talking(table.world().await, Some(&card));
    stand_in.trouble(&[Trouble::Error(401, 0), Trouble::Error(404, 0)]);
    assert_eq!(tell(&discord, &world).await.unwrap().unwrap().as_str(), card);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_world_gets_no_new_card() {
    let (table, stand_in) = (waking().await, StandIn::new());
    let discord = discord(&table, &stand_in, Some(BOT_TOKEN));
    let world = table.world().await;
    let state = domain::world::State::Deleted { asked: world.created.clone(), at: at(50) };
    let deleted = World { state, ..world };
    assert_eq!(tell(&discord, &deleted).await, Ok(None));
    assert_eq!(stand_in.requests().len(), 1);
}

#[tokio::test]
async fn who_is_on_is_said_once_somebody_looked() {
    let mut table = waking().await;
    table.work().await;
    table.wake().await;
    let shown = async |table: &Table| {
        let world = table.world().await;
        let body = table.discord.notice(&world, &notice(&world).unwrap()).post("n");
        body["embeds"][0]["description"].as_str().unwrap().lines().nth(1).unwrap().to_owned()
    };
    let first = shown(&table).await;
    table.now += 30;
    let players = Evidence::Unknown("the game does not say".into());
    table.happen(&[Event::Seen { generation: Generation(1), players, stops_at: None }]).await;
    let unknown = shown(&table).await;
    table.see(0, None).await;
    expect![[r#"
        It woke <t:1800000090:R>: bob\_\*the\*\_builder wanted it <t:1800000000:R>.
        Who is on is not known (the game does not say), seen <t:1800000120:R>. It woke <t:1800000090:R>: bob\_\*the\*\_builder wanted it <t:1800000000:R>.
        Nobody is on, seen <t:1800000120:R>. It woke <t:1800000090:R>: bob\_\*the\*\_builder wanted it <t:1800000000:R>."#]]
    .assert_eq(&[first, unknown, shown(&table).await].join("\n"));
}

#[tokio::test]
async fn every_notice_reads_well() {
    let table = waking().await;
    let world = table.world().await;
    let asked = Asked { by: world.created.by.clone(), at: at(0) };
    let address = domain::world::Address { host: "2001:db8::7".into(), port: 2456 };
    let told: Vec<_> = [
        Notice::Waking(asked.clone()),
        Notice::Awake(address),
        Notice::Warned(at(700)),
        Notice::CapNear(at(700)),
        Notice::AllAway(at(700)),
        Notice::Stopping(domain::world::StopWhy::LastLeft),
        Notice::Asleep(None),
        Notice::Asleep(Some(Outcome::Cancelled(asked))),
        Notice::Deleted,
    ]
    .iter()
    .map(|notice| table.discord.notice(&world, notice).content)
    .collect();
    expect![[r#"
        ann wakes `valhalla`.
        `valhalla` is awake: join at `[2001:db8::7]:2456`.
        Nobody is on `valhalla`: it goes to sleep <t:1800000700:R>.
        `valhalla` has run for its longest time and goes to sleep <t:1800000700:R>.
        Nobody who is on `valhalla` moves: it goes to sleep <t:1800000700:R>.
        `valhalla` is going to sleep, since the last player has left.
        `valhalla` is asleep.
        `valhalla` is asleep. Ann put it back to sleep before it was awake.
        `valhalla` is deleted."#]]
    .assert_eq(&told.join("\n"));
}
