//! `access`: shows or changes who may do what. It is changed by those who manage the guild alone.

use std::collections::BTreeSet;

use crate::{
    access::{Action, MOST_NAMED, Rules, Who},
    commands::{
        Command, Context, Problem, ProblemKind, Reply,
        spec::{Kind, Opt, Shown, Spec},
    },
    driver::Driver,
    ports::{SaveError, Unavailable},
};

/// How often a change is tried; each try loses only to another change of the same rules.
const TRIES: u32 = 5;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// To see the rules.
    Show,
    /// To allow an action to one more.
    Allow(Action, Who),
    /// To take that back.
    Deny(Action, Who),
    /// To have the rule of an action as it is at first.
    Reset(Action),
}

const ACTION: Opt = Opt::needed("action", Kind::Action, "Which action");
const WHO: Opt = Opt::needed("who", Kind::Who, "Which role or member");

/// How it is asked for.
pub const SHOW: Spec = Spec {
    path: "access show",
    about: "See who may do what",
    options: &[],
    shown: Shown::Asker,
    read: |_| Ok(Command::Access(Access::Show)),
};

/// How it is asked for.
pub const ALLOW: Spec = Spec {
    path: "access allow",
    about: "Allow an action to a role or a member",
    options: &[ACTION, WHO],
    shown: Shown::Asker,
    read: |args| Ok(Command::Access(Access::Allow(args.action("action")?, args.who("who")?))),
};

/// How it is asked for.
pub const DENY: Spec = Spec {
    path: "access deny",
    about: "Take an action back from a role or a member",
    options: &[ACTION, WHO],
    shown: Shown::Asker,
    read: |args| Ok(Command::Access(Access::Deny(args.action("action")?, args.who("who")?))),
};

/// How it is asked for.
pub const RESET: Spec = Spec {
    path: "access reset",
    about: "Have the rule of an action as it is at first",
    options: &[ACTION],
    shown: Shown::Asker,
    read: |args| Ok(Command::Access(Access::Reset(args.action("action")?))),
};

pub(super) async fn run(access: &Access, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    for _ in 0..TRIES {
        let (rules, version) = driver.store.rules(&context.guild).await?;
        if *access == Access::Show {
            return Ok(Reply::Access(rules));
        }
        rules.require(&context.asker, Action::Access)?;
        let changed = changed(&rules, access)?;
        if changed == rules {
            return Ok(Reply::Access(rules));
        }
        match driver.store.save_rules(&context.guild, &changed, version).await {
            Ok(_) => return Ok(Reply::Access(changed)),
            Err(SaveError::Conflict) => {}
            Err(SaveError::Unavailable(why)) => return Err(why.into()),
        }
    }
    Err(Unavailable("too many others change the rules at the same time; try again".into()).into())
}

fn changed(rules: &Rules, access: &Access) -> Result<Rules, Problem> {
    if let Access::Allow(Action::Access, _)
    | Access::Deny(Action::Access, _)
    | Access::Reset(Action::Access) = access
    {
        // Whoever may change the rules may allow everything to themselves.
        let text = "who may do what is changed by those who manage the server, and by nobody else";
        return Err(Problem::new(ProblemKind::Refused, text, "allow other actions"));
    }
    let with = |action: Action, who: BTreeSet<Who>| {
        let mut rules = rules.clone();
        rules.0.insert(action, who);
        rules
    };
    Ok(match access {
        Access::Show => rules.clone(),
        Access::Allow(action, who) => {
            let mut allowed = rules.allowed(*action);
            allowed.insert(who.clone());
            if allowed.len() > MOST_NAMED {
                let text =
                    format!("`{}` is allowed to {MOST_NAMED} already, which is the most", action.word());
                return Err(Problem::new(
                    ProblemKind::Refused,
                    text,
                    "make a role for them, and allow it to that",
                ));
            }
            with(*action, allowed)
        }
        Access::Deny(action, who) => {
            let mut allowed = rules.allowed(*action);
            if !allowed.remove(who) && allowed.contains(&Who::Everyone) {
                let text =
                    format!("`{}` is for everyone, so it cannot be taken back from one", action.word());
                return Err(Problem::new(
                    ProblemKind::Refused,
                    text,
                    "allow it to those who shall have it, and deny it to everyone",
                ));
            }
            with(*action, allowed)
        }
        Access::Reset(action) => {
            let mut rules = rules.clone();
            rules.0.remove(action);
            rules
        }
    })
}
