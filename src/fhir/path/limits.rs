//! What an expression may contain, so that its evaluation ends soon and stays small.
//!
//! An evaluation that takes steps along paths is ended by its deadline. What works without such steps is
//! bounded here: functions that multiply text or items, and walks over everything inside a loop.

use octofhir_fhirpath::{BinaryOperator, ExpressionNode as Node, LiteralValue};

use super::{MAX_DEPTH, MAX_LENGTH, PathError};

/// `&` and `+` in a loop, `combine` and what else makes more than it is given; each may double.
const MAX_GROWING: usize = 6;
/// `descendants()` after `descendants()`.
const MAX_WALKS: usize = 2;
/// The text that `replace` may put in.
const MAX_SUBSTITUTE: usize = 64;

/// Functions of FHIRPath and R4 that compute from the resource alone.
const FUNCTIONS: &str = " empty exists all allTrue anyTrue allFalse anyFalse subsetOf supersetOf count distinct \
    isDistinct where select repeat ofType single first last tail skip take intersect exclude union combine iif \
    toInteger convertsToInteger toBoolean convertsToBoolean toDate convertsToDate toDateTime \
    convertsToDateTime toTime convertsToTime toDecimal convertsToDecimal toQuantity convertsToQuantity \
    toString convertsToString indexOf lastIndexOf substring startsWith endsWith contains upper lower replace \
    replaceMatches matches matchesFull length trim split join toChars abs ceiling exp floor ln log power round \
    sqrt truncate children descendants now today timeOfDay is as not extension hasValue getValue resolve \
    htmlChecks lowBoundary highBoundary ";

/// Functions whose argument is evaluated for each item.
const LOOPS: [&str; 6] = ["where", "select", "all", "exists", "repeat", "iif"];

fn refused(text: impl Into<String>) -> PathError {
    PathError::Refused(text.into())
}

/// Before parsing: length, brackets, and signs in a row (each is a level for the parser).
pub(super) fn text(expression: &str) -> Result<(), PathError> {
    if expression.len() > MAX_LENGTH {
        return Err(refused(format!("longer than {MAX_LENGTH} bytes")));
    }
    if expression.trim().is_empty() {
        return Err(PathError::Syntax("it is empty".into()));
    }
    let (mut depth, mut signs, mut quote) = (0usize, 0usize, None);
    let mut letters = expression.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            letters.next();
            continue;
        }
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        signs = match (quote, letter) {
            (None, '+' | '-') => signs + 1,
            (None, letter) if letter.is_whitespace() => signs,
            _ => 0,
        };
        if depth > MAX_DEPTH / 2 || signs > 8 {
            return Err(refused("nested too deep"));
        }
    }
    Ok(())
}

/// After parsing.
pub(super) fn tree(root: &Node) -> Result<(), PathError> {
    let mut counted = Counted::default();
    counted.node(root, 0, Inside::Nothing)?;
    if counted.growing > MAX_GROWING {
        return Err(refused(format!(
            "more than {MAX_GROWING} times &, + in a loop, combine, join or replace"
        )));
    }
    if counted.walks > MAX_WALKS {
        return Err(refused(format!("more than {MAX_WALKS} times descendants()")));
    }
    Ok(())
}

#[derive(Default)]
struct Counted {
    growing: usize,
    walks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// The argument of a function that runs for each item.
    Loop,
    /// The argument of `repeat`: only steps downwards, or it would never end.
    Repeat,
}

impl Counted {
    fn node(&mut self, node: &Node, depth: usize, inside: Inside) -> Result<(), PathError> {
        if depth > MAX_DEPTH {
            return Err(refused("nested too deep"));
        }
        let downwards = match node {
            Node::Identifier(_) | Node::PropertyAccess(_) | Node::Union(_) | Node::Parenthesized(_) => true,
            Node::BinaryOperation(operation) => operation.operator == BinaryOperator::Union,
            Node::MethodCall(call) => matches!(call.method.as_str(), "ofType" | "where" | "children"),
            Node::FunctionCall(call) => matches!(call.name.as_str(), "children"),
            _ => false,
        };
        if inside == Inside::Repeat && !downwards {
            return Err(refused("repeat() takes a path"));
        }
        self.children(node, depth + 1, inside)
    }

    fn children(&mut self, node: &Node, depth: usize, inside: Inside) -> Result<(), PathError> {
        match node {
            Node::FunctionCall(call) => self.call(&call.name, &call.arguments, depth, inside),
            Node::MethodCall(call) => {
                self.node(&call.object, depth, inside)?;
                self.call(&call.method, &call.arguments, depth, inside)
            }
            Node::PropertyAccess(access) => self.node(&access.object, depth, inside),
            Node::IndexAccess(access) => {
                self.node(&access.object, depth, inside)?;
                self.node(&access.index, depth, inside)
            }
            Node::BinaryOperation(operation) => {
                let grows = matches!(operation.operator, BinaryOperator::Concatenate | BinaryOperator::Add);
                // Outside of a loop a sum is no longer than what is written.
                self.growing += usize::from(grows && inside != Inside::Nothing);
                self.node(&operation.left, depth, inside)?;
                self.node(&operation.right, depth, inside)
            }
            Node::UnaryOperation(operation) => self.node(&operation.operand, depth, inside),
            Node::Lambda(lambda) => self.node(&lambda.body, depth, inside),
            Node::Collection(list) => {
                list.elements.iter().try_for_each(|element| self.node(element, depth, inside))
            }
            Node::Parenthesized(inner) => self.node(inner, depth, inside),
            Node::TypeCast(cast) => self.node(&cast.expression, depth, inside),
            Node::TypeCheck(check) => self.node(&check.expression, depth, inside),
            Node::Filter(filter) => {
                self.node(&filter.base, depth, inside)?;
                self.node(&filter.condition, depth, Inside::Loop)
            }
            Node::Union(union) => {
                self.node(&union.left, depth, inside)?;
                self.node(&union.right, depth, inside)
            }
            Node::Path(path) => self.node(&path.base, depth, inside),
            Node::Literal(_) | Node::Identifier(_) | Node::Variable(_) | Node::TypeInfo(_) => Ok(()),
        }
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[Node],
        depth: usize,
        inside: Inside,
    ) -> Result<(), PathError> {
        if !FUNCTIONS.contains(&format!(" {name} ")) {
            // A name as somebody wrote it: kept short.
            return Err(refused(format!(
                "{}() is not available here",
                name.chars().take(40).collect::<String>()
            )));
        }
        match name {
            "descendants" if inside == Inside::Loop => return Err(refused("descendants() inside a loop")),
            "descendants" => self.walks += 1,
            "combine" | "join" | "power" | "exp" => self.growing += 1,
            "replace" | "replaceMatches" => self.growing += usize::from(replaces(name, arguments)?),
            _ => {}
        }
        let within = match name {
            "repeat" => Inside::Repeat,
            _ if LOOPS.contains(&name) => Inside::Loop,
            _ if inside == Inside::Repeat => Inside::Loop,
            _ => inside,
        };
        arguments.iter().try_for_each(|argument| self.node(argument, depth, within))
    }
}

/// May the result be longer than the text that it is made of?
fn replaces(name: &str, arguments: &[Node]) -> Result<bool, PathError> {
    let texts: Vec<&str> = arguments.iter().filter_map(literal).collect();
    match texts.as_slice() {
        [pattern, substitute] if substitute.len() <= MAX_SUBSTITUTE => {
            let shrinks = name == "replace" && !pattern.is_empty() && substitute.len() <= pattern.len();
            Ok(!(shrinks || substitute.is_empty()))
        }
        _ => Err(refused(format!("{name}() takes two short texts"))),
    }
}

fn literal(node: &Node) -> Option<&str> {
    match node {
        Node::Literal(literal) => match &literal.value {
            LiteralValue::String(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
