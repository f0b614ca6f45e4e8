//! The modal that asks what a new world of a game must have chosen: a password, terms to accept. What was given for the
//! command's options stands in the modal's id, which comes back from Discord's side and is parsed like anything typed.

use domain::{
    access::Action,
    commands::{
        Context, Problem, ProblemKind,
        create::{self, MOST_WORLDS},
        spec::{self, Args, GIVEN, Opt},
    },
    driver::Driver,
    settings::{Kind, MOST_ASKED, Need, Setting},
    words,
    world::{GameId, WorldName},
};
use serde_json::Value;
use twilight_model::{
    channel::message::{
        Component,
        component::{Label, TextInput, TextInputStyle},
    },
    http::interaction::{InteractionResponseData, InteractionResponseType},
};

use crate::chat::discord::{limits, message::respond};

/// What the modal's id begins with.
const BEGIN: &str = "v1/create/";

/// The longest text that an input of a modal takes.
const LONGEST_INPUT: u32 = 4000;

/// Returns the modal that a new world needs, if its game asks for anything; or why there will be no such world.
pub(super) async fn modal(args: &Args, context: &Context, driver: &Driver) -> Result<Option<Value>, Problem> {
    let name: WorldName = args.text("name").unwrap_or_default().parse()?;
    let game: GameId = args.text("game").unwrap_or_default().parse()?;
    let asked: Vec<_> = driver.games.get(&game).map(asked).unwrap_or_default();
    if asked.is_empty() {
        return Ok(None);
    }
    // Nobody is to type a password for nothing.
    let listed = driver.store.list(&context.guild).await?;
    listed.rules.require(&context.asker, Action::Create)?;
    let is_full = listed.worlds.len() >= MOST_WORLDS;
    if is_full || listed.worlds.iter().any(|world| world.name == name) {
        return Ok(None);
    }
    let data = InteractionResponseData {
        custom_id: Some(custom_id(&name, &game, args)?),
        title: Some(limits::clip(&format!("Make {name}"), limits::MODAL_TITLE)),
        components: Some(asked.into_iter().map(label).collect()),
        ..InteractionResponseData::default()
    };
    Ok(Some(respond(InteractionResponseType::Modal, Some(data))))
}

/// Returns what has to be chosen for a new world, as many as a modal can hold.
fn asked(game: &domain::game::Game) -> Vec<&Setting> {
    game.settings.iter().filter(|setting| setting.need == Need::Required).take(MOST_ASKED).collect()
}

fn label(setting: &Setting) -> Component {
    let (title, remark) = match setting.kind.terms() {
        Some(url) => (format!("Accept: {}", setting.title), url.to_owned()),
        None => (setting.title.clone(), setting.about.clone().unwrap_or_else(|| setting.kind.allowed())),
    };
    let length = length(&setting.kind);
    #[expect(deprecated, reason = "every field of the record has to be named")]
    let input = TextInput {
        custom_id: limits::clip(&format!("{GIVEN}{}", setting.name), limits::CUSTOM_ID),
        id: None,
        label: None,
        max_length: length.map(|(_, most)| most),
        min_length: length.map(|(least, _)| least),
        placeholder: Some(limits::clip(&placeholder(&setting.kind), limits::PLACEHOLDER)),
        required: Some(true),
        style: TextInputStyle::Short,
        value: None,
    };
    Component::Label(Label {
        id: None,
        label: limits::clip(&title, limits::MODAL_LABEL),
        description: Some(limits::clip(&remark, limits::LABEL_DESCRIPTION)),
        component: Box::new(Component::TextInput(input)),
    })
}

/// Returns how few and how many characters are taken, where that is known.
fn length(kind: &Kind) -> Option<(u16, u16)> {
    match kind {
        Kind::Text(length, _) | Kind::Password(length, _) => {
            let bounded = |n: u32| u16::try_from(n.min(LONGEST_INPUT)).ok();
            bounded(*length.start()).zip(bounded(*length.end()))
        }
        Kind::Number(_) | Kind::Choice(_) | Kind::Switch | Kind::List(_) | Kind::Terms(_) => None,
    }
}

fn placeholder(kind: &Kind) -> String {
    match kind.terms() {
        Some(_) => "Type accept, once you have read them and if you do".into(),
        None => kind.allowed(),
    }
}

/// Returns the options that a modal's id holds after name and game.
fn carried() -> impl Iterator<Item = &'static Opt> {
    create::SPEC.options.iter().filter(|option| !["name", "game"].contains(&option.name))
}

/// Returns the modal's id: `v1/create/NAME/GAME/` and the options, lengths in seconds, empty where they were left out.
fn custom_id(name: &WorldName, game: &GameId, args: &Args) -> Result<String, Problem> {
    let mut id = format!("{BEGIN}{name}/{game}");
    for option in carried() {
        let text = args.text(option.name).unwrap_or_default();
        let seconds = words::parse_length(text).map(|length| length.as_secs().to_string());
        // What cannot be read is refused with the rest, once it is sent.
        let text = seconds.filter(|_| option.kind == spec::Kind::Length).unwrap_or_else(|| text.to_owned());
        id = format!("{id}/{text}");
    }
    if limits::length(&id) > limits::CUSTOM_ID {
        let text = "that is more than can be asked for together";
        let hint = "leave times, storage and port out, and set them afterwards: `world settings`";
        return Err(Problem::new(ProblemKind::BadInput, text, hint));
    }
    Ok(id)
}

/// Returns the command that a modal sent, with what was typed into it; nothing if it is no such modal.
pub(super) fn sent(custom_id: &str, fields: &Args) -> Option<(&'static str, Args)> {
    let carried: Vec<_> = carried().collect();
    let parts: Vec<_> = custom_id.strip_prefix(BEGIN)?.splitn(carried.len() + 3, '/').collect();
    let [name, game, options @ ..] = parts.as_slice() else { return None };
    if options.len() != carried.len() {
        return None;
    }
    let typed = fields.0.iter().filter(|(id, _)| id.starts_with(GIVEN));
    let mut args: Args = Args(typed.map(|(id, text)| (id.clone(), text.trim().to_owned())).collect());
    args.0.extend([("name", name), ("game", game)].map(|(key, text)| (key.to_owned(), (*text).to_owned())));
    for (option, text) in carried.iter().zip(options).filter(|(_, text)| !text.is_empty()) {
        let is_number = text.bytes().all(|b| b.is_ascii_digit());
        let text = if option.kind == spec::Kind::Length && is_number {
            format!("{text}s")
        } else {
            (*text).to_owned()
        };
        args.0.insert(option.name.to_owned(), text);
    }
    Some((create::SPEC.path, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_comes_back_from_a_modal_with_what_was_typed() {
        let given = [
            ("afk", "45m"),
            ("longest-run", "6h"),
            ("port", "30005"),
            ("sleep-after", "5m"),
            ("storage", "archive"),
        ];
        let args = Args(given.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let (name, game) = ("valhalla".parse().unwrap(), "valheim".parse().unwrap());
        let id = custom_id(&name, &game, &args).unwrap();
        assert_eq!(id, "v1/create/valhalla/valheim/300//2700/21600/archive/30005");
        let fields = [("set.password", " hunter22 "), ("name", "other")];
        let fields = Args(fields.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let (path, sent) = sent(&id, &fields).unwrap();
        let all: Vec<_> = sent.0.iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(path, "world create");
        assert_eq!(
            all,
            [
                "afk=2700s",
                "game=valheim",
                "longest-run=21600s",
                "name=valhalla",
                "port=30005",
                "set.password=hunter22",
                "sleep-after=300s",
                "storage=archive",
            ]
        );
    }

    #[test]
    fn what_does_not_fit_into_an_id_is_refused() {
        let long = "x".repeat(32);
        let given = [("sleep-after", "no length of time"), ("longest-run", "no length of time")];
        let args = Args(given.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let error = custom_id(&long.parse().unwrap(), &long.parse().unwrap(), &args).unwrap_err();
        assert_eq!(error.text, "that is more than can be asked for together");
    }

    #[test]
    fn any_other_id_is_no_such_modal() {
        for id in [
            "v1/create/a/b",
            "v1/create/a/b//////x/y",
            "v1/create/a/b/////",
            "v1/delete/a",
            "",
            "v2/create/a/b//////",
        ] {
            assert_eq!(sent(id, &Args::default()), None, "{id}");
        }
    }
}
