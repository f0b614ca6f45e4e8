//! `dormouse up` with Discord: which application serves which servers, and how its interactions come in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use adapters::chat::{
    discord::{
        Billed, Discord, DiscordConfig, gateway,
        rest::{BotToken, DISCORD},
        signature::PublicKey,
        snowflake::Snowflake,
    },
    terminal::Terminal,
};
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use clap::Args;
use domain::{
    Timestamp,
    driver::Driver,
    effect::Notice,
    game::Game,
    ports::{Chat, Unavailable},
    talk::CardId,
    world::{GameId, GuildId, World, WorldId},
};
use tokio::{sync::watch, task::JoinHandle};

/// Discord beside the terminal. All that it needs is on the application's pages at <https://discord.com/developers>.
#[derive(Debug, Args)]
#[command(next_help_heading = "Discord")]
pub(crate) struct Bot {
    /// The application's id
    #[arg(
        long = "discord-application",
        env = "DORMOUSE_DISCORD_APPLICATION",
        value_name = "ID",
        requires = "guilds"
    )]
    application: Option<Snowflake>,
    /// The key its interactions are signed with; needed unless they come over the gateway
    #[arg(long = "discord-public-key", env = "DORMOUSE_DISCORD_PUBLIC_KEY", value_name = "HEX")]
    public_key: Option<PublicKey>,
    /// A server that is served; the command line's worlds are those of the first one
    #[arg(long = "discord-guild", env = "DORMOUSE_DISCORD_GUILDS", value_name = "ID", value_delimiter = ',')]
    guilds: Vec<Snowflake>,
    /// A file that holds the bot's token (or set DORMOUSE_DISCORD_TOKEN); cards and the gateway need it
    #[arg(long = "discord-token-file", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The server whose worlds the command line speaks of [default: the first that is served, `local` without Discord]
    #[arg(long = "guild", value_name = "ID")]
    guild: Option<GuildId>,
    /// Have interactions come over a connection that this opens, so that nothing out there must reach this machine
    #[arg(long = "discord-gateway", requires = "application")]
    gateway: bool,
    #[arg(long = "discord-api", env = "DORMOUSE_DISCORD_API", hide = true, default_value = DISCORD)]
    api: String,
    #[arg(long = "discord-gateway-url", hide = true)]
    gateway_url: Option<String>,
}

impl Bot {
    /// Returns Discord as it is to be spoken to, if it is.
    pub(crate) fn connect(&self, games: &Arc<BTreeMap<GameId, Game>>) -> Result<Option<Arc<Discord>>> {
        let Some(application) = self.application else {
            if !self.guilds.is_empty() || self.public_key.is_some() || self.gateway {
                bail!("--discord-application is missing: it is on the application's page");
            }
            return Ok(None);
        };
        let bot_token = self.token()?;
        if self.public_key.is_none() && !self.gateway {
            bail!(
                "--discord-public-key is missing: it is on the application's page; or use --discord-gateway"
            );
        }
        if self.gateway && bot_token.is_none() {
            bail!("--discord-gateway needs the bot's token: --discord-token-file or DORMOUSE_DISCORD_TOKEN");
        }
        let config = DiscordConfig {
            application,
            public_key: self.public_key,
            guilds: self.guilds.iter().copied().collect::<BTreeSet<_>>(),
            bot_token,
            api_base: self.api.clone(),
            billed: Billed::No,
        };
        Ok(Some(Arc::new(Discord::new(config, games.clone(), Timestamp::now))))
    }

    fn token(&self) -> Result<Option<BotToken>> {
        let text = match &self.token_file {
            Some(file) => Some(fs::read_to_string(file).with_context(|| {
                format!("cannot read the bot's token in {}: name another file", file.display())
            })?),
            None => std::env::var("DORMOUSE_DISCORD_TOKEN").ok(),
        };
        text.map(|text| BotToken::parse(text.trim()).context("the bot's token")).transpose()
    }

    /// Returns the guild whose worlds the command line speaks of.
    pub(crate) fn guild(&self) -> Result<GuildId> {
        if let Some(guild) = &self.guild {
            return Ok(guild.clone());
        }
        let first = self.application.and(self.guilds.first());
        Ok(GuildId::parse(&first.map_or("local".into(), Snowflake::to_string))?)
    }

    /// Begins to receive interactions over the gateway, if that is wanted.
    pub(crate) fn listen(
        &self,
        discord: Option<Arc<Discord>>,
        driver: Driver,
        fresh_id: fn() -> WorldId,
        mut ended: watch::Receiver<()>,
    ) -> Option<JoinHandle<()>> {
        let (discord, url) = (discord.filter(|_| self.gateway)?, self.gateway_url.clone());
        let stop = async move {
            let _ = ended.changed().await;
        };
        Some(tokio::spawn(async move {
            if let Err(error) = gateway::run(discord, driver, fresh_id, url.as_deref(), stop).await {
                tracing::error!("Discord's gateway: {error}; the command line goes on working");
            }
        }))
    }
}

/// Tells people on the terminal and, if there is one, in the chat.
pub(crate) struct Told {
    pub(crate) terminal: Terminal<std::io::Stdout>,
    pub(crate) discord: Option<Arc<Discord>>,
}

#[async_trait]
impl Chat for Told {
    async fn tell(&self, world: &World, notice: &Notice) -> Result<Option<CardId>, Unavailable> {
        self.terminal.tell(world, notice).await?;
        match &self.discord {
            Some(discord) => discord.tell(world, notice).await,
            None => Ok(world.talk.card.clone()),
        }
    }
}
