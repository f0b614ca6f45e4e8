//! The mutants: each breaks one rule of the design at one place, and names a seed of the simulation that notices.

/// A broken rule.
pub(super) struct Mutant {
    /// What is done wrong.
    pub(super) name: &'static str,
    /// The seed that kills it.
    pub(super) seed: u64,
    /// Where it is done.
    pub(super) edits: &'static [Edit],
}

/// A change of one text, which stands once in its file, into another one, in which `$is` asks whether the rule is broken.
pub(super) struct Edit {
    /// The file, in the domain's `src`.
    pub(super) file: &'static str,
    /// What stands there.
    pub(super) original: &'static str,
    /// What stands there in the copy.
    pub(super) mutated: &'static str,
}

/// Returns the change, for the table.
const fn edit(file: &'static str, original: &'static str, mutated: &'static str) -> Edit {
    Edit { file, original, mutated }
}

/// Every mutant.
#[rustfmt::skip]
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant { name: "a save does not look at the version", seed: 1, edits: &[
        edit("sim/ports.rs",
            "if self.places[place].version != read {",
            "if !$is && self.places[place].version != read {"),
    ] },
    Mutant { name: "what a save asks for is done before it", seed: 1, edits: &[
        edit("driver.rs",
            "            match self.store.save(&after, version).await {",
            "            if $is {\n                for effect in effects(&after) {\n                    let _ = self.act(&after, effect).await;\n                }\n            }\n            match self.store.save(&after, version).await {"),
    ] },
    Mutant { name: "a save that was in vain counts", seed: 3, edits: &[
        edit("driver.rs",
            "                Err(SaveError::Conflict) => (before, version)",
            "                Err(SaveError::Conflict) if $is => return Ok(Applied { before, after }),\n                Err(SaveError::Conflict) => (before, version)"),
    ] },
    Mutant { name: "the generation stays the same", seed: 1, edits: &[
        edit("lifecycle.rs",
            "let generation = world.generation.next();",
            "let generation = if $is { Generation(world.generation.0.max(1)) } else { world.generation.next() };"),
    ] },
    Mutant { name: "the watchdog ignores the cap", seed: 1, edits: &[
        edit("idle.rs",
            "let until_cap = timers.cap.saturating_sub(sample.at);",
            "let until_cap = if $is { Duration::MAX } else { timers.cap.saturating_sub(sample.at) };"),
    ] },
    Mutant { name: "the control plane ignores the cap", seed: 13, edits: &[
        edit("lifecycle.rs",
            "        State::Awake { launch, task, .. } => {\n            stopping(world, launch, task, StopWhy::Cap,",
            "        State::Awake { .. } if $is => world.clone(),\n        State::Awake { launch, task, .. } => {\n            stopping(world, launch, task, StopWhy::Cap,"),
    ] },
    Mutant { name: "unknown counts as empty", seed: 21, edits: &[
        edit("idle.rs",
            "(Evidence::Unknown(_), Held::No) => {}",
            "(Evidence::Unknown(_), Held::No) => {\n                if $is {\n                    self.empty_for += since;\n                }\n            }"),
    ] },
    Mutant { name: "a blind watchdog sees nobody", seed: 1, edits: &[
        edit("idle.rs",
            "unwrap_or_else(|| Evidence::Unknown(reasons(about())))",
            "unwrap_or_else(|| if $is { Evidence::Empty } else { Evidence::Unknown(reasons(about())) })"),
    ] },
    Mutant { name: "a pause counts as watched", seed: 107, edits: &[
        edit("idle.rs",
            ".min(Self::LONGEST_GAP);",
            ".min(if $is { Duration::MAX } else { Self::LONGEST_GAP });"),
    ] },
    Mutant { name: "somebody who comes does not restart the timer", seed: 2, edits: &[
        edit("idle.rs",
            "                self.joined = true;\n                self.empty_for = Duration::ZERO;",
            "                self.joined = true;\n                if !$is {\n                    self.empty_for = Duration::ZERO;\n                }"),
    ] },
    Mutant { name: "the game starts before the claim is on record", seed: 2, edits: &[
        edit("sim/watchdog.rs",
            "while !self.desk.is_heard() {",
            "while !$is && !self.desk.is_heard() {"),
    ] },
    Mutant { name: "the watchdog does not look again before it stops", seed: 68, edits: &[
        edit("sim/watchdog.rs",
            "if !(asked && is_kept || self.look().0 != Evidence::Empty) {",
            "if $is || !(asked && is_kept || self.look().0 != Evidence::Empty) {"),
    ] },
    Mutant { name: "a directory is emptied without an order", seed: 1, edits: &[
        edit("sim/keeping.rs",
            "if self.desk.orders() != Some(Orders::End(Files::Go)) {",
            "if !matches!(self.desk.orders(), Some(Orders::End(files)) if $is || files == Files::Go) {"),
    ] },
    Mutant { name: "an archive counts unchecked", seed: 36, edits: &[
        edit("driver.rs",
            "            Checked::NotWhole => Event::CheckFailed",
            "            Checked::NotWhole if $is => Event::Checked { generation, archive },\n            Checked::NotWhole => Event::CheckFailed"),
    ] },
    Mutant { name: "the watchdog's word for an old archive is enough", seed: 221, edits: &[
        edit("lifecycle.rs",
            "            if world.vault.find(&archive).is_none() {\n                let step = StopStep::Rejected",
            "            if !$is && world.vault.find(&archive).is_none() {\n                let step = StopStep::Rejected"),
    ] },
    Mutant { name: "a world is deleted without an archive", seed: 1, edits: &[
        edit("lifecycle.rs",
            "State::Asleep if !world.is_archived() => Err(",
            "State::Asleep if !$is && !world.is_archived() => Err("),
    ] },
    Mutant { name: "a world is deleted by any name", seed: 1, edits: &[
        edit("lifecycle.rs",
            "State::Asleep if typed != world.name.as_str() =>",
            "State::Asleep if !$is && typed != world.name.as_str() =>"),
    ] },
    Mutant { name: "the last archive of a deleted world goes", seed: 3, edits: &[
        edit("vault.rs",
            "self.keeping_only(last.as_ref())",
            "self.keeping_only(last.as_ref().filter(|_| !$is))"),
    ] },
    Mutant { name: "the archive that a world lives in may be dropped", seed: 26, edits: &[
        edit("vault.rs",
            "let is_same = [self.same_as.as_ref(), needed, slept.as_ref()].contains(&Some(id));",
            "let is_same = !$is && [self.same_as.as_ref(), needed, slept.as_ref()].contains(&Some(id));"),
    ] },
    Mutant { name: "files are removed that no archive holds", seed: 8, edits: &[
        edit("effect.rs",
            "Storage::Archive if world.vault.same_as.is_some() => Files::Go",
            "Storage::Archive if $is || world.vault.same_as.is_some() => Files::Go"),
    ] },
    Mutant { name: "an archive stays the same while it is played", seed: 7, edits: &[
        edit("lifecycle.rs",
            "let vault = Vault { same_as: None, lives: Storage::Directory, ..world.vault.clone() };",
            "let same_as = world.vault.same_as.clone().filter(|_| $is);\n    let vault = Vault { same_as, lives: Storage::Directory, ..world.vault.clone() };"),
    ] },
    Mutant { name: "an emptied directory is not filled", seed: 1, edits: &[
        edit("lifecycle.rs",
            "None if is_to_be_filled(&world) => {",
            "None if !$is && is_to_be_filled(&world) => {"),
    ] },
    Mutant { name: "nobody knows that the directory was emptied", seed: 1, edits: &[
        edit("lifecycle.rs",
            "if was_told { Storage::Archive }",
            "if was_told && !$is { Storage::Archive }"),
    ] },
    Mutant { name: "what is there is not archived before it is replaced", seed: 7, edits: &[
        edit("lifecycle.rs",
            "Some(Errand::Restore(_) | Errand::Import(_)) if was_new || is_to_be_filled(&world) => {",
            "Some(Errand::Restore(_) | Errand::Import(_)) if $is || was_new || is_to_be_filled(&world) => {"),
    ] },
    Mutant { name: "a restore puts the newest archive back", seed: 3, edits: &[
        edit("driver.rs",
            "            (Some(Errand::Restore(archive)), _) | (None, Some(archive)) => {",
            "            (Some(Errand::Restore(archive)), _) | (None, Some(archive)) => {\n                let archive = world.vault.newest().map(|kept| &kept.archive.id).filter(|_| $is).unwrap_or(archive);"),
    ] },
    Mutant { name: "no archive is as good as one", seed: 24, edits: &[
        edit("lifecycle.rs",
            "let outcome = Outcome::NotArchived(why.clone(), reason);",
            "let outcome = if $is { Outcome::Slept(why.clone(), Proof::Untouched) } else { Outcome::NotArchived(why.clone(), reason) };"),
    ] },
    Mutant { name: "a task that was not named yet is ended", seed: 1, edits: &[
        edit("driver.rs",
            "Ok(!current || world.task().is_some_and(|known| *known != task.task))",
            "Ok(!current || if $is { world.task() != Some(&task.task) } else { world.task().is_some_and(|known| *known != task.task) })"),
    ] },
    Mutant { name: "a launch is not idempotent", seed: 1, edits: &[
        edit("sim/runtime.rs",
            "if let Some(task) = self.tasks.iter().find(is_it) {",
            "if let Some(task) = self.tasks.iter().find(is_it).filter(|_| !$is) {"),
    ] },
    Mutant { name: "a world sleeps before its task is gone", seed: 164, edits: &[
        edit("lifecycle.rs",
            "        State::Ending { .. } | State::Deleting { .. } => retried(world, now),",
            "        State::Ending { launch, outcome, then, .. } if $is => settled(world, launch, outcome.clone(), then, now),\n        State::Ending { .. } | State::Deleting { .. } => retried(world, now),"),
    ] },
    Mutant { name: "a task that cannot be seen is gone", seed: 1, edits: &[
        edit("driver.rs",
            "            Seen::There => None,",
            "            Seen::There if $is => {\n                Some(Event::TaskGone { generation, task: Some(task), how: Gone::NeverExisted })\n            }\n            Seen::There => None,"),
    ] },
    Mutant { name: "a task that is gone is not noticed", seed: 1, edits: &[
        edit("driver.rs",
            "            Seen::Gone(how) => Some",
            "            Seen::Gone(_) if $is => None,\n            Seen::Gone(how) => Some"),
    ] },
    Mutant { name: "no deadline counts", seed: 13, edits: &[
        edit("lifecycle.rs",
            "world.deadline().filter(|deadline| *deadline <= now) else",
            "world.deadline().filter(|deadline| !$is && *deadline <= now) else"),
    ] },
    Mutant { name: "the sweep looks at no world", seed: 2, edits: &[
        edit("driver.rs",
            ".chunks(SWEPT_AT_ONCE) {",
            ".chunks(SWEPT_AT_ONCE).filter(|_| !$is) {"),
    ] },
    Mutant { name: "what was told is forgotten", seed: 1, edits: &[
        edit("lifecycle.rs",
            "    World { talk: Talk { told, card, ..world.talk.clone() }, ..world.clone() }",
            "    let told = told.filter(|_| !$is);\n    World { talk: Talk { told, card, ..world.talk.clone() }, ..world.clone() }"),
    ] },
    Mutant { name: "people are told before anything else and then never", seed: 2, edits: &[
        edit("effect.rs",
            "    rests && untold(world).is_none() && world.vault.litter.is_empty()",
            "    rests && ($is || untold(world).is_none()) && world.vault.litter.is_empty()"),
    ] },
    Mutant { name: "a wish to keep it awake is not passed on", seed: 3, edits: &[
        edit("effect.rs",
            "keep_until: keep.as_ref().map(|(_, until)| *until),",
            "keep_until: keep.as_ref().map(|(_, until)| *until).filter(|_| !$is),"),
    ] },
    Mutant { name: "a wish to keep it awake is forgotten", seed: 2, edits: &[
        edit("lifecycle.rs",
            "                *keep = Some((asked, until));",
            "                *keep = Some((asked, until)).filter(|_| !$is);"),
    ] },
    Mutant { name: "a start that comes while it stops is forgotten", seed: 2, edits: &[
        edit("lifecycle.rs",
            "        Then::Start(asked) => starting(&asleep, asked.clone(), None, now),",
            "        Then::Start(_) if $is => asleep,\n        Then::Start(asked) => starting(&asleep, asked.clone(), None, now),"),
    ] },
    Mutant { name: "a stopped world is told to run on", seed: 10, edits: &[
        edit("effect.rs",
            "        State::Stopping { why, .. } => Orders::Stop(why.clone()),",
            "        State::Stopping { .. } if $is => Orders::Run { keep_until: None, backup: None },\n        State::Stopping { why, .. } => Orders::Stop(why.clone()),"),
    ] },
    Mutant { name: "an awake world is told to stop", seed: 9, edits: &[
        edit("effect.rs",
            "        State::Awake { keep, backup, .. } => Orders::Run {",
            "        State::Awake { heard: Heard { players: Evidence::Players(3), .. }, launch, .. } if $is => {\n            Orders::Stop(StopWhy::Asked(launch.asked.clone()))\n        }\n        State::Awake { keep, backup, .. } => Orders::Run {"),
    ] },
    Mutant { name: "a shorter wish to keep it awake takes the place of a longer one", seed: 930, edits: &[
        edit("lifecycle.rs",
            "if keep.as_ref().is_none_or(|(_, known)| *known < until) {",
            "if $is || keep.as_ref().is_none_or(|(_, known)| *known < until) {"),
    ] },
    Mutant { name: "an archive that a link leads to may be dropped", seed: 1, edits: &[
        edit("vault.rs",
            "wanted.contains(id) || is_same || linked(id)",
            "wanted.contains(id) || is_same || (!$is && linked(id))"),
    ] },
    Mutant { name: "a link is forgotten before it has expired", seed: 1, edits: &[
        edit("vault.rs",
            "next.links.retain(|link| link.expires > now);",
            "next.links.retain(|link| !$is && link.expires > now);"),
    ] },
    Mutant { name: "a link to what is being made never leads to it", seed: 1, edits: &[
        edit("vault.rs",
            "next.resolved(&id).pruned(needed)",
            "if $is { next.pruned(needed) } else { next.resolved(&id).pruned(needed) }"),
    ] },
    Mutant { name: "a link to what does not come waits for ever", seed: 7, edits: &[
        edit("lifecycle.rs",
            "    let vault = match outcome {\n        Outcome::Slept(..)",
            "    let vault = match outcome {\n        _ if $is => return world.clone(),\n        Outcome::Slept(..)"),
    ] },
    Mutant { name: "a clock that was set ends an evening", seed: 7, edits: &[
        edit("lifecycle.rs",
            "launch.attendance.sums().watched < world.timers.cap && !is_doubted(heard)",
            "!$is && launch.attendance.sums().watched < world.timers.cap && !is_doubted(heard)"),
    ] },
    Mutant { name: "the watchdog's count does not move the cap", seed: 80, edits: &[
        edit("lifecycle.rs",
            "let goes_on = before < watched && !left.is_zero();",
            "let goes_on = !$is && before < watched && !left.is_zero();"),
    ] },
    Mutant { name: "a card that is gone is taken for shown", seed: 1, edits: &[
        edit("sim/chat.rs",
            "filter(|known| known.deleted_at.is_none()) else {\n            return false;",
            "filter(|known| $is || known.deleted_at.is_none()) else {\n            return false;"),
    ] },
    Mutant { name: "nobody's answer is followed", seed: 4, edits: &[
        edit("talk.rs",
            "        followers.push(follower);",
            "        if !$is {\n            followers.push(follower);\n        }"),
    ] },
    Mutant { name: "the world's directory has no lock", seed: 14, edits: &[
        edit("sim/watchdog.rs",
            "if dir.holder.is_none() {",
            "if $is || dir.holder.is_none() {"),
    ] },
    Mutant { name: "a task that no world knows is left alone", seed: 136, edits: &[
        edit("driver.rs",
            "if self.is_orphan(task).await? {",
            "if !$is && self.is_orphan(task).await? {"),
    ] },
    Mutant { name: "what is kept may be litter", seed: 36, edits: &[
        edit("vault.rs",
            "let is_kept = matches!(&litter, Litter::Archive(id) if self.find(id).is_some());",
            "let is_kept = !$is && matches!(&litter, Litter::Archive(id) if self.find(id).is_some());"),
    ] },
    Mutant { name: "a directory that may be half filled is what it was", seed: 7, edits: &[
        edit("lifecycle.rs",
            "    if next.vault.lives == Storage::Directory {",
            "    if !$is && next.vault.lives == Storage::Directory {"),
    ] },
    Mutant { name: "a game that has outlived its watchdog is not there", seed: 73, edits: &[
        edit("sim/runtime.rs",
            "        self.hurry_headless(task);\n        match &self.tasks[task].gone {",
            "        self.hurry_headless(task);\n        if $is && self.tasks[task].is_headless {\n            return Seen::Gone(Gone::NeverExisted);\n        }\n        match &self.tasks[task].gone {"),
    ] },
    Mutant { name: "a task that was heard of lately may never have been", seed: 10, edits: &[
        edit("lifecycle.rs",
            "if *how == Gone::NeverExisted && was_heard_lately(world, now) {",
            "if !$is && *how == Gone::NeverExisted && was_heard_lately(world, now) {"),
    ] },
    Mutant { name: "a link may wait for an archive that was made before", seed: 3475, edits: &[
        edit("vault.rs",
            "return self.clone().resolved(&kept.archive.id);",
            "return if $is { self.clone() } else { self.clone().resolved(&kept.archive.id) };"),
    ] },
    Mutant { name: "a link may lead to a copy that was begun before it was asked for", seed: 2205, edits: &[
        edit("lifecycle.rs",
            "State::Awake { backup: Some(backup), .. } if backup.step.is_under_way() =>",
            "State::Awake { backup: Some(backup), .. } if !$is && backup.step.is_under_way() =>"),
    ] },
    Mutant { name: "a link leads to an old archive while a newer state is being archived", seed: 3484, edits: &[
        edit("lifecycle.rs",
            "State::Stopping { step, .. } if *step != StopStep::Filling && !world.is_archived() => {",
            "State::Stopping { step, .. } if !$is && *step != StopStep::Filling && !world.is_archived() => {"),
    ] },
    Mutant { name: "a control plane that was away does not wait for what it has missed", seed: 6479, edits: &[
        edit("lifecycle.rs",
            "    if now >= deadline + AWAY\n",
            "    if !$is\n        && now >= deadline + AWAY\n"),
    ] },
    Mutant { name: "who looks for too long never sees the clock", seed: 17, edits: &[
        edit("sim/ports.rs",
            "if looked.is_none() && is_late {",
            "if !$is && looked.is_none() && is_late {"),
    ] },
    Mutant { name: "a second chance is shorter than a look", seed: 6689, edits: &[
        edit("lifecycle.rs",
            "        *deadline = now + SECOND_CHANCE;",
            "        *deadline = now + if $is { SECOND_CHANCE / 2 } else { SECOND_CHANCE };"),
    ] },
];
