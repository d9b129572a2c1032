//! The way through a flow: in which order its nodes come, and what was said before each question.
//!
//! **Pure.** Loops are common (a question is asked again until its answer is understood), and definitions may
//! be long: nothing here recurses.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use super::node::array;

/// A definition's nodes and where they lead.
pub(super) struct Graph<'a> {
    nodes: &'a [Value],
    /// By node, in the order in which people go: cases first, then the timeout, then the default.
    next: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub fn read(nodes: &'a [Value]) -> Self {
        let positions: HashMap<&str, usize> = nodes
            .iter()
            .enumerate()
            .filter_map(|(at, node)| Some((node.get("uuid")?.as_str()?, at)))
            .collect();
        let next = nodes.iter().map(|node| targets(node, &positions)).collect();
        Self { nodes, next }
    }

    /// The nodes from the entry on, each after those that lead to it unless by a loop, and at the end those
    /// that nothing leads to.
    pub fn order(&self) -> Vec<&'a Value> {
        let mut seen = vec![false; self.nodes.len()];
        let mut left = Vec::with_capacity(self.nodes.len());
        if !self.nodes.is_empty() {
            self.leave(0, &mut seen, &mut left);
        }
        left.reverse();
        left.extend((0..self.nodes.len()).filter(|at| !seen.get(*at).copied().unwrap_or(true)));
        left.into_iter().filter_map(|at| self.nodes.get(at)).collect()
    }

    /// Depth first, later exits before earlier ones; a node is written down when it is left.
    fn leave(&self, entry: usize, seen: &mut [bool], left: &mut Vec<usize>) {
        let mut path: Vec<(usize, usize)> = Vec::new();
        self.enter(entry, seen, &mut path);
        while let Some((node, exits)) = path.pop() {
            let Some(before) = exits.checked_sub(1) else {
                left.push(node);
                continue;
            };
            path.push((node, before));
            if let Some(target) = self.next.get(node).and_then(|next| next.get(before)) {
                self.enter(*target, seen, &mut path);
            }
        }
    }

    fn enter(&self, node: usize, seen: &mut [bool], path: &mut Vec<(usize, usize)>) {
        if let Some(seen) = seen.get_mut(node)
            && !std::mem::replace(seen, true)
        {
            path.push((node, self.next.get(node).map_or(0, Vec::len)));
        }
    }

    /// For each node that waits, the `send_msg` that asks: the last one on the shortest way there, so that
    /// a question's own words come before "I did not understand".
    pub fn asked(&self) -> HashMap<&'a str, &'a Value> {
        let mut asked = HashMap::new();
        let mut seen: HashSet<usize> = HashSet::from([0]);
        let mut open: VecDeque<(usize, Option<&Value>)> = VecDeque::from([(0, None)]);
        while let Some((at, said)) = open.pop_front() {
            let Some(node) = self.nodes.get(at) else { continue };
            let mut said = said_in(node).or(said);
            if waits(node) {
                if let (Some(uuid), Some(said)) = (node.get("uuid").and_then(Value::as_str), said) {
                    asked.insert(uuid, said);
                }
                said = None;
            }
            for target in self.next.get(at).into_iter().flatten() {
                if seen.insert(*target) {
                    open.push_back((*target, said));
                }
            }
        }
        asked
    }
}

fn waits(node: &Value) -> bool {
    node.pointer("/router/wait").is_some_and(|wait| !wait.is_null())
}

/// The last message that a node sends.
fn said_in(node: &Value) -> Option<&Value> {
    let is_message = |action: &&Value| action.get("type").is_some_and(|kind| kind == "send_msg");
    let says = |action: &&Value| {
        action.get("text").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
    };
    array(node, "actions").iter().rev().filter(is_message).find(says)
}

fn targets(node: &Value, positions: &HashMap<&str, usize>) -> Vec<usize> {
    let text = |value: &'_ Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let destinations: HashMap<String, usize> = array(node, "exits")
        .iter()
        .filter_map(|exit| {
            let target = exit.get("destination_uuid").and_then(Value::as_str)?;
            Some((text(exit, "uuid")?, *positions.get(target)?))
        })
        .collect();
    let mut found: Vec<usize> = Vec::new();
    for exit in exits(node) {
        if let Some(target) = destinations.get(&exit)
            && !found.contains(target)
        {
            found.push(*target);
        }
    }
    found
}

/// The exits of a node's cases in their order, then of its other categories, its timeout and its default,
/// then those without a category.
fn exits(node: &Value) -> Vec<String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let Some(router) = node.get("router").filter(|router| router.is_object()) else {
        return array(node, "exits").iter().filter_map(|exit| text(exit, "uuid")).collect();
    };
    let timeout = router.pointer("/wait/timeout/category_uuid").and_then(Value::as_str).map(str::to_owned);
    let last = [timeout, text(router, "default_category_uuid")];
    let cases = array(router, "cases").iter().filter_map(|case| text(case, "category_uuid"));
    let others = array(router, "categories")
        .iter()
        .filter_map(|category| text(category, "uuid"))
        .filter(|uuid| !last.iter().flatten().any(|late| late == uuid));
    let categories: Vec<String> = cases.chain(others).chain(last.iter().flatten().cloned()).collect();
    let exit_of = |uuid: &String| {
        let category = array(router, "categories")
            .iter()
            .find(|category| text(category, "uuid").as_ref() == Some(uuid))?;
        text(category, "exit_uuid")
    };
    let own = array(node, "exits").iter().filter_map(|exit| text(exit, "uuid"));
    categories.iter().filter_map(exit_of).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(uuid: &str, text: Option<&str>, exits: &[&str], waits: bool) -> Value {
        let actions: Vec<Value> =
            text.map(|text| json!({"type": "send_msg", "text": text})).into_iter().collect();
        let categories: Vec<Value> = (0..exits.len())
            .map(|at| json!({"uuid": format!("{uuid}-c{at}"), "name": "x", "exit_uuid": format!("{uuid}-e{at}")}))
            .collect();
        let cases: Vec<Value> = (0..exits.len().saturating_sub(1))
            .map(|at| json!({"type": "has_text", "category_uuid": format!("{uuid}-c{at}")}))
            .collect();
        let default = format!("{uuid}-c{}", exits.len().saturating_sub(1));
        let exits: Vec<Value> = exits
            .iter()
            .enumerate()
            .map(|(at, to)| json!({"uuid": format!("{uuid}-e{at}"), "destination_uuid": to}))
            .collect();
        let wait = if waits { json!({"type": "msg"}) } else { Value::Null };
        json!({"uuid": uuid, "actions": actions, "exits": exits,
            "router": {"type": "switch", "cases": cases, "categories": categories,
                "default_category_uuid": default, "wait": wait}})
    }

    fn uuids(order: Vec<&Value>) -> Vec<&str> {
        order.into_iter().map(|node| node["uuid"].as_str().unwrap()).collect()
    }

    /// Asked again until it is understood; one answer asks something more before both go on.
    fn flow() -> Vec<Value> {
        vec![
            node("hello", Some("How old?"), &["age"], false),
            node("again", Some("A number, please"), &["age"], false),
            node("bye", Some("Thank you"), &[], false),
            node("age", None, &["job", "again"], true),
            node("which", Some("Which?"), &["other"], false),
            node("job", Some("Your job?"), &["answer"], false),
            node("answer", None, &["bye", "which", "job"], true),
            node("other", None, &["bye"], true),
            node("island", Some("Nobody comes here"), &["bye"], false),
        ]
    }

    #[test]
    fn a_branch_comes_before_what_follows_both() {
        let nodes = flow();
        let order = uuids(Graph::read(&nodes).order());
        assert_eq!(order.first(), Some(&"hello"));
        assert_eq!(order.last(), Some(&"island"));
        let at = |uuid: &str| order.iter().position(|known| *known == uuid).unwrap();
        assert!(at("age") < at("answer") && at("answer") < at("other") && at("other") < at("bye"));
        assert_eq!(order.len(), nodes.len());
    }

    #[test]
    fn a_question_has_its_own_words_and_not_those_of_a_retry() {
        let nodes = flow();
        let asked = Graph::read(&nodes).asked();
        let text = |uuid: &str| asked.get(uuid).map(|action| action["text"].as_str().unwrap());
        assert_eq!(text("age"), Some("How old?"));
        assert_eq!(text("answer"), Some("Your job?"));
        assert_eq!(text("other"), Some("Which?"));
        assert_eq!(asked.len(), 3);
    }

    #[test]
    fn a_flow_without_nodes_and_one_that_leads_nowhere_are_read() {
        assert!(Graph::read(&[]).order().is_empty());
        assert!(Graph::read(&[]).asked().is_empty());
        let odd = vec![json!({"exits": [{"uuid": "e", "destination_uuid": "nowhere"}]}), json!(7)];
        assert_eq!(Graph::read(&odd).order().len(), 2);
    }
}
