//! A message as we make it: within Discord's limits by construction, and never notifying anybody.

use serde_json::{Value, json};
use twilight_model::{
    channel::message::{
        AllowedMentions, Component, Embed, EmojiReactionType, MessageFlags,
        component::{ActionRow, Button, ButtonStyle},
        embed::EmbedFooter,
    },
    http::interaction::{InteractionResponse, InteractionResponseData, InteractionResponseType},
};

use crate::chat::discord::{custom_id::CustomId, limits};

/// Who sees a message that answers somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Everybody in the channel.
    ByAll,
    /// Whoever asked.
    ByAsker,
}

/// The colour beside a card: says from afar what is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// At rest.
    Grey,
    /// On the way up or down.
    Yellow,
    /// Players can join.
    Green,
    /// Something went wrong.
    Red,
}

impl Colour {
    fn rgb(self) -> u32 {
        match self {
            Self::Grey => 0x0080_848e,
            Self::Yellow => 0x00f0_b232,
            Self::Green => 0x0023_a55a,
            Self::Red => 0x00f2_3f43,
        }
    }
}

/// A block beside a message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its title, plain.
    pub title: String,
    /// Its lines, in markup.
    pub lines: Vec<String>,
    /// What stands below, plain.
    pub footer: String,
    /// Its colour.
    pub colour: Colour,
}

impl Block {
    fn embed(&self) -> Embed {
        // The limit of all embeds together is kept: 256 + 4096 + 1000 < 6000.
        const FOOTER: usize = 1000;
        let footer =
            EmbedFooter { icon_url: None, proxy_icon_url: None, text: limits::clip(&self.footer, FOOTER) };
        Embed {
            author: None,
            color: Some(self.colour.rgb()),
            description: Some(limits::clip_lines(&self.lines, limits::EMBED_DESCRIPTION)),
            fields: Vec::new(),
            flags: None,
            footer: Some(footer).filter(|footer| !footer.text.is_empty()),
            image: None,
            kind: "rich".into(),
            provider: None,
            thumbnail: None,
            timestamp: None,
            title: Some(limits::clip(&self.title, limits::EMBED_TITLE)),
            url: None,
            video: None,
        }
    }
}

/// How loudly a button speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// What most people want next.
    Main,
    /// What some want.
    Usual,
    /// What others will notice.
    Grave,
}

/// A button below a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it says.
    pub label: &'static str,
    /// How loudly.
    pub weight: Weight,
    /// What it does.
    pub id: CustomId,
}

impl Key {
    fn component(&self) -> Component {
        let style = match self.weight {
            Weight::Main => ButtonStyle::Success,
            Weight::Usual => ButtonStyle::Secondary,
            Weight::Grave => ButtonStyle::Danger,
        };
        Component::Button(Button {
            custom_id: Some(limits::clip(&self.id.to_string(), limits::CUSTOM_ID)),
            disabled: false,
            emoji: None::<EmojiReactionType>,
            id: None,
            label: Some(limits::clip(self.label, limits::BUTTON_LABEL)),
            sku_id: None,
            style,
            url: None,
        })
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it says, in markup.
    pub content: String,
    /// A block beside it.
    pub block: Option<Block>,
    /// The buttons below it.
    pub keys: Vec<Key>,
    /// Who sees it, where it is an answer.
    pub seen: Seen,
}

impl Message {
    /// Returns a message of nothing but `content`, for whoever asked.
    pub fn whisper(content: impl Into<String>) -> Self {
        Self { content: content.into(), block: None, keys: Vec::new(), seen: Seen::ByAsker }
    }

    /// Returns the answer that shows it as a new message.
    pub fn answer(&self) -> Value {
        respond(InteractionResponseType::ChannelMessageWithSource, Some(self.data()))
    }

    /// Returns the answer that turns the message whose button was pressed into this one.
    pub fn update(&self) -> Value {
        let data = InteractionResponseData { flags: None, ..self.data() };
        respond(InteractionResponseType::UpdateMessage, Some(data))
    }

    /// Returns the body that turns a message into this one.
    pub fn edit(&self) -> Value {
        in_json(&InteractionResponseData { flags: None, ..self.data() })
    }

    /// Returns the body that posts it in a channel. Two posts of the same nonce within some minutes are one message.
    pub fn post(&self, nonce: &str) -> Value {
        let mut body = self.edit();
        body["nonce"] = json!(limits::clip(nonce, limits::NONCE));
        body["enforce_nonce"] = json!(true);
        body
    }

    /// Returns all parts, those that are empty too, so that a change removes what was there before.
    fn data(&self) -> InteractionResponseData {
        let rows = self.keys.chunks(limits::BUTTONS_IN_ROW).take(limits::ROWS).map(|keys| {
            let components = keys.iter().map(Key::component).collect();
            Component::ActionRow(ActionRow { id: None, components })
        });
        InteractionResponseData {
            allowed_mentions: Some(AllowedMentions::default()),
            content: Some(limits::clip(&self.content, limits::CONTENT)),
            embeds: Some(self.block.iter().map(Block::embed).collect()),
            components: Some(rows.collect()),
            flags: match self.seen {
                Seen::ByAll => None,
                Seen::ByAsker => Some(MessageFlags::EPHEMERAL),
            },
            ..InteractionResponseData::default()
        }
    }
}

/// Returns an answer to an interaction, in JSON.
pub(super) fn respond(kind: InteractionResponseType, data: Option<InteractionResponseData>) -> Value {
    in_json(&InteractionResponse { kind, data })
}

fn in_json(record: &impl serde::Serialize) -> Value {
    serde_json::to_value(record).expect("texts, numbers and lists always have a JSON")
}
