//! Which step is taken next: depth first over all schedules, at random, or as a replay says.

use super::footprint::Footprint;

/// A step that can be taken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice<A> {
    /// Its name in a replay. No two choices of a node have the same.
    pub(super) label: String,
    /// What must be the same in every schedule that begins with the same steps: the command's name and its number of
    /// arguments.
    pub(super) shape: String,
    /// The client that goes on; `None` for time and faults.
    pub(super) client: Option<usize>,
    pub(super) footprint: Footprint,
    pub(super) act: A,
}

impl<A> Choice<A> {
    fn without_act(&self) -> Choice<()> {
        let Self { label, shape, client, footprint, .. } = self;
        Choice { label: label.clone(), shape: shape.clone(), client: *client, footprint: footprint.clone(), act: () }
    }

    /// Returns true if the order of the two steps makes no difference. The threads of one client can share more than
    /// Redis.
    fn is_independent(&self, other: &Self) -> bool {
        (self.client.is_none() || self.client != other.client) && self.footprint.is_independent(&other.footprint)
    }
}

/// Why no step is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Every schedule that begins like this is equivalent to one that has been run.
    Equivalent,
    /// The client did something else after the same steps: the number of the step, and both shapes.
    Differs(usize, String, String),
    /// The replay names a step that is not possible here: its number and its name.
    Impossible(usize, String),
}

#[derive(Debug)]
struct Node {
    choices: Vec<Choice<()>>,
    /// The indices of the choices that are explored.
    order: Vec<usize>,
    at: usize,
    /// The steps that need not be taken now, since a schedule that begins with them has been run.
    asleep: Vec<Choice<()>>,
    /// The preemptions before this node, and whether each choice is one.
    preemptions: usize,
    preempts: Vec<bool>,
}

impl Node {
    fn taken(&self) -> &Choice<()> {
        &self.choices[self.order[self.at]]
    }
}

/// Explores every schedule, depth first.
#[derive(Debug)]
pub(super) struct Space {
    path: Vec<Node>,
    /// Whether orders that differ only in neighbouring independent steps are run once.
    is_reduced: bool,
    preemptions: Option<usize>,
    /// The number of nodes that this schedule has passed.
    depth: usize,
}

impl Space {
    /// A bound of preemptions leaves out orders that stand for others, so there is no reduction with it.
    pub(super) fn new(is_reduced: bool, preemptions: Option<usize>) -> Self {
        Self { path: Vec::new(), is_reduced: is_reduced && preemptions.is_none(), preemptions, depth: 0 }
    }

    fn choose<A>(&mut self, choices: &[Choice<A>], last: Option<usize>) -> Result<usize, Refused> {
        let depth = self.depth;
        if let Some(node) = self.path.get(depth) {
            let known = node.choices.iter().map(|choice| (&choice.label, &choice.shape));
            let now = choices.iter().map(|choice| (&choice.label, &choice.shape));
            if !known.clone().eq(now.clone()) {
                let text = |list: &mut dyn Iterator<Item = (&String, &String)>| {
                    list.map(|(label, shape)| format!("{label} {shape}")).collect::<Vec<_>>().join(", ")
                };
                return Err(Refused::Differs(depth + 1, text(&mut known.clone()), text(&mut now.clone())));
            }
            self.depth += 1;
            return Ok(node.order[node.at]);
        }
        let parent = self.path.last();
        let choices: Vec<_> = choices.iter().map(Choice::without_act).collect();
        let asleep = match parent {
            Some(node) if self.is_reduced => {
                let taken = node.taken();
                node.asleep.iter().filter(|other| other.is_independent(taken)).cloned().collect()
            }
            _ => Vec::new(),
        };
        let preemptions = parent.map_or(0, |node| node.preemptions + usize::from(node.preempts[node.order[node.at]]));
        let can_go_on = last.is_some() && choices.iter().any(|choice| choice.client == last);
        let preempts: Vec<_> =
            choices.iter().map(|choice| can_go_on && choice.client.is_some() && choice.client != last).collect();
        let mut order: Vec<_> = (0..choices.len()).collect();
        order.retain(|&index| {
            let is_in_bound = self.preemptions.is_none_or(|bound| preemptions + usize::from(preempts[index]) <= bound);
            is_in_bound && !asleep.contains(&choices[index])
        });
        // The client that is running goes on first, so the first schedule runs one client after the other.
        order.sort_by_key(|&index| choices[index].client.is_none() || choices[index].client != last);
        let Some(first) = order.first().copied() else { return Err(Refused::Equivalent) };
        self.path.push(Node { choices, order, at: 0, asleep, preemptions, preempts });
        self.depth += 1;
        Ok(first)
    }

    /// Goes to the next schedule. Returns false if there is none.
    fn advance(&mut self) -> bool {
        self.path.truncate(self.depth);
        self.depth = 0;
        while let Some(node) = self.path.last_mut() {
            if node.at + 1 < node.order.len() {
                node.asleep.push(node.taken().clone());
                node.at += 1;
                return true;
            }
            self.path.pop();
        }
        false
    }
}

/// Random schedules with few preemptions: each client has a random priority, and at a few random steps the priority of
/// the client that is running falls below all others (PCT).
#[derive(Debug)]
pub(super) struct Random {
    state: u64,
    /// The state when this schedule began.
    began: u64,
    left: usize,
    priorities: Vec<u64>,
    changes: Vec<usize>,
    depth: usize,
    longest: usize,
}

/// The number of steps at which a random schedule changes a priority.
const CHANGES: usize = 2;

impl Random {
    pub(super) fn new(seed: u64, schedules: usize) -> Self {
        let mut random = Self {
            state: seed,
            began: seed,
            left: schedules,
            priorities: Vec::new(),
            changes: Vec::new(),
            depth: 0,
            longest: 20,
        };
        random.advance();
        random
    }

    /// The generator `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    fn choose<A>(&mut self, choices: &[Choice<A>]) -> usize {
        // Time and faults share a priority of their own.
        let of = |choice: &Choice<A>| choice.client.map_or(0, |client| client + 1);
        let most = choices.iter().map(of).max().unwrap_or_default();
        while self.priorities.len() <= most {
            let priority = self.next() | (1 << 63);
            self.priorities.push(priority);
        }
        let highest = |priorities: &[u64]| {
            let best = choices.iter().enumerate().max_by_key(|(_, choice)| priorities[of(choice)]);
            best.map_or(0, |(at, _)| at)
        };
        if self.changes.contains(&self.depth) {
            let falls = of(&choices[highest(&self.priorities)]);
            self.priorities[falls] = u64::try_from(self.longest.saturating_sub(self.depth)).unwrap_or_default();
        }
        self.depth += 1;
        let best = self.priorities[of(&choices[highest(&self.priorities)])];
        let candidates: Vec<_> = (0..choices.len()).filter(|&at| self.priorities[of(&choices[at])] == best).collect();
        candidates[self.below(candidates.len())]
    }

    fn advance(&mut self) -> bool {
        self.longest = self.longest.max(self.depth);
        self.depth = 0;
        self.priorities.clear();
        self.changes = (0..CHANGES).map(|_| self.below(self.longest)).collect();
        self.began = self.state;
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// Takes the step after the last one.
#[derive(Debug)]
pub(super) enum Chooser {
    Space(Space),
    Random(Random),
    /// The labels of the steps, and how many of them were taken.
    Replay(Vec<String>, usize),
}

impl Chooser {
    /// Chooses one of the steps. `last` is the client that was running.
    pub(super) fn choose<A>(&mut self, choices: &[Choice<A>], last: Option<usize>) -> Result<usize, Refused> {
        match self {
            Self::Space(space) => space.choose(choices, last),
            Self::Random(random) => Ok(random.choose(choices)),
            Self::Replay(labels, number) => {
                let label = labels.get(*number).cloned().unwrap_or_default();
                *number += 1;
                let found = choices.iter().position(|choice| choice.label == label);
                found.ok_or(Refused::Impossible(*number, label))
            }
        }
    }

    /// Goes to the next schedule. Returns false if there is none.
    pub(super) fn advance(&mut self) -> bool {
        match self {
            Self::Space(space) => space.advance(),
            Self::Random(random) => random.advance(),
            Self::Replay(..) => false,
        }
    }

    /// Prepares to run the same schedule again. Forgets the steps from `depth` on.
    pub(super) fn again(&mut self, depth: usize) {
        match self {
            Self::Space(space) => {
                space.path.truncate(depth);
                space.depth = 0;
            }
            Self::Random(random) => {
                (random.state, random.depth) = (random.began, 0);
                random.priorities.clear();
            }
            Self::Replay(_, number) => *number = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(client: usize, left: usize, footprint: &Footprint) -> Choice<()> {
        let (label, shape, footprint) = (client.to_string(), left.to_string(), footprint.clone());
        Choice { label, shape, client: Some(client), footprint, act: () }
    }

    /// Runs clients with this number of steps each. Returns the schedules.
    fn schedules(mut chooser: Chooser, steps: &[usize], footprint: &Footprint) -> (Vec<String>, usize) {
        let (mut all, mut abandoned) = (Vec::new(), 0);
        loop {
            let (mut left, mut last, mut schedule) = (steps.to_vec(), None, String::new());
            loop {
                let choices: Vec<_> = (0..left.len())
                    .filter(|&client| left[client] > 0)
                    .map(|client| choice(client, left[client], footprint))
                    .collect();
                if choices.is_empty() {
                    all.push(schedule);
                    break;
                }
                let Ok(chosen) = chooser.choose(&choices, last) else {
                    abandoned += 1;
                    break;
                };
                let client = choices[chosen].client.unwrap();
                left[client] -= 1;
                last = Some(client);
                schedule += &choices[chosen].label;
            }
            if !chooser.advance() {
                return (all, abandoned);
            }
        }
    }

    #[test]
    fn every_order_is_explored_once() {
        let (mut all, _) = schedules(Chooser::Space(Space::new(false, None)), &[3, 2, 2], &Footprint::Everything);
        assert_eq!(all.len(), 210); // 7! / (3! 2! 2!)
        assert_eq!(all[0], "0001122");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 210);
    }

    #[test]
    fn independent_steps_are_explored_in_one_order() {
        let space = Space::new(true, None);
        let (all, _) = schedules(Chooser::Space(space), &[3, 2, 2], &Footprint::Nothing);
        assert_eq!(all, ["0001122"]);
    }

    #[test]
    fn preemptions_are_bounded() {
        for (bound, count) in [(0, 2), (1, 6), (2, 14)] {
            let space = Space::new(false, Some(bound));
            let (all, _) = schedules(Chooser::Space(space), &[3, 3], &Footprint::Everything);
            assert_eq!(all.len(), count, "{bound}: {all:?}");
            let space = Space::new(true, Some(bound));
            assert_eq!(schedules(Chooser::Space(space), &[3, 3], &Footprint::Nothing).0, all, "not reduced");
        }
    }

    #[test]
    fn random_schedules_depend_on_the_seed_alone() {
        let run = |seed| schedules(Chooser::Random(Random::new(seed, 20)), &[3, 3, 3], &Footprint::Everything).0;
        assert_eq!(run(7).len(), 20);
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_random_schedule_can_be_run_again() {
        let choices: Vec<_> = (0..3).map(|client| choice(client, 1, &Footprint::Everything)).collect();
        let run = |chooser: &mut Chooser, steps: usize| -> Vec<_> {
            (0..steps).map(|_| chooser.choose(&choices, None).ok()).collect()
        };
        let mut chooser = Chooser::Random(Random::new(7, 20));
        for _ in 0..20 {
            let whole = run(&mut chooser, 20);
            for steps in [3, 20] {
                chooser.again(0);
                assert_eq!(run(&mut chooser, steps), whole[..steps]);
            }
            chooser.advance();
        }
    }
}
