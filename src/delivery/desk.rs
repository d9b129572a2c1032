//! What a person may do with deliveries: try again, give up. And what is woken by itself, which is less.

use std::collections::BTreeSet;

use super::board::{Board, Moment};
use super::destination::UNPROVABLE;
use super::{acts, waits};
use crate::store::db::Tx;
use crate::store::deliveries::{self, Cause, DeliveryRow, PartRow, PartStatus, Status, sending};
use crate::store::error::Error;

/// Lets dead and cancelled parts of these deliveries go out again, now. Counted cells are computed anew. An
/// act that its source does not want any more, and one of which nobody can say whether it happened
/// ([`send_again`]), stay as they are; one that may have happened is looked up first; none goes out before its
/// time. Gives how many deliveries wait by it.
///
/// # Errors
/// The database's.
pub async fn revive(tx: &mut Tx, tenant: &str, ids: &[String], now_ms: i64) -> Result<usize, Error> {
    let board = open(tx, tenant, ids).await?;
    let_go(tx, board, (ids, now_ms)).await
}

/// As [`revive`], but acts of which nobody can say whether they happened go out too: **they may happen
/// twice**. For a person who has decided so.
///
/// # Errors
/// The database's.
pub async fn send_again(tx: &mut Tx, tenant: &str, ids: &[String], now_ms: i64) -> Result<usize, Error> {
    let mut board = open(tx, tenant, ids).await?;
    for part in chosen(&board, ids).filter(is_unprovable).collect::<Vec<_>>() {
        let sure = PartRow { cause: Cause::default(), ..part };
        let id = sure.delivery_id.clone();
        board.parts.insert((id.clone(), sure.place()), sure);
        acts::nothing_happened(&mut board, &id, now_ms);
    }
    let_go(tx, board, (ids, now_ms)).await
}

fn is_unprovable(part: &PartRow) -> bool {
    part.status == PartStatus::Dead && part.cause.code == UNPROVABLE
}

async fn let_go(tx: &mut Tx, mut board: Board, (ids, now_ms): (&[String], i64)) -> Result<usize, Error> {
    free(&mut board, (ids, now_ms));
    finish(tx, board, (ids, now_ms), Status::Waiting).await
}

fn free(board: &mut Board, (ids, now_ms): (&[String], i64)) {
    let stays = |row: &DeliveryRow| acts::is_act(row) && row.withdrawn;
    let left: BTreeSet<String> =
        board.deliveries.values().filter(|row| stays(row)).map(|row| row.id.clone()).collect();
    let revivable = |part: &PartRow| {
        matches!(part.status, PartStatus::Dead | PartStatus::Cancelled)
            && !is_unprovable(part)
            && !left.contains(&part.delivery_id)
    };
    let counts: BTreeSet<String> =
        board.deliveries.values().filter(|row| row.nature == "count").map(|row| row.id.clone()).collect();
    for part in chosen(board, ids).filter(revivable).collect::<Vec<_>>() {
        let dirty = counts.contains(&part.delivery_id);
        let next = PartRow { status: PartStatus::Waiting, cause: Cause::default(), dirty, ..part };
        board.parts.insert((next.delivery_id.clone(), next.place()), next);
    }
    for id in ids {
        if let Some(row) = board.deliveries.get_mut(id).filter(|row| row.status == Status::Waiting) {
            row.due_ms = acts::earliest(row, now_ms);
            row.first_failed_ms = 0;
            row.attempts = 0;
        }
    }
}

/// Lets those of these deliveries go on that wait for one which is settled on this board, or are dead because
/// of it. Nothing else of them comes back: what a person gave up and what the far side refused stay as they are.
/// Whoever calls it has let the board settle down.
pub(super) fn wake(board: &mut Board, ids: &[String], moment: Moment) {
    let woken: Vec<(String, i64)> = ids
        .iter()
        .filter_map(|id| board.deliveries.get(id))
        .filter(|row| waits::is_met(board, row))
        .map(|row| (row.id.clone(), acts::earliest(row, moment.now_ms)))
        .collect();
    let stays = |row: &DeliveryRow| acts::is_act(row) && row.withdrawn;
    for (id, _) in &woken {
        if board.deliveries.get(id).is_some_and(stays) {
            continue;
        }
        let parts = board.parts_of(id).into_iter();
        for part in parts.filter(|part| part.status == PartStatus::Dead && waits::was_in_need(&part.cause)) {
            let next = PartRow { status: PartStatus::Waiting, cause: Cause::default(), ..part };
            board.parts.insert((next.delivery_id.clone(), next.place()), next);
        }
    }
    if !woken.is_empty() {
        board.settle_down(moment);
    }
    for (id, earliest_ms) in woken {
        if let Some(row) = board.deliveries.get_mut(&id).filter(|row| row.status == Status::Waiting) {
            row.due_ms = earliest_ms;
        }
    }
}

/// Gives up what of these deliveries was not accepted yet; what is under way is left alone. Another
/// delivery that wants the same place gets it. A newer wish revives them. Gives how many were given up.
///
/// # Errors
/// The database's.
pub async fn cancel(tx: &mut Tx, tenant: &str, ids: &[String], now_ms: i64) -> Result<usize, Error> {
    let mut board = open(tx, tenant, ids).await?;
    let sending: BTreeSet<String> = board
        .deliveries
        .values()
        .filter(|row| row.status == Status::Sending)
        .map(|row| row.id.clone())
        .collect();
    let open_parts: Vec<PartRow> = chosen(&board, ids)
        .filter(|part| matches!(part.status, PartStatus::Waiting | PartStatus::Dead))
        .filter(|part| !sending.contains(&part.delivery_id))
        .collect();
    for part in open_parts {
        let act = board.deliveries.get(&part.delivery_id).is_some_and(acts::is_act);
        let cause = if act { acts::by_person() } else { Cause::default() };
        let next = PartRow { status: PartStatus::Cancelled, dirty: false, cause, ..part };
        board.parts.insert((next.delivery_id.clone(), next.place()), next);
    }
    finish(tx, board, (ids, now_ms), Status::Cancelled).await
}

async fn open(tx: &mut Tx, tenant: &str, ids: &[String]) -> Result<Board, Error> {
    let parts = deliveries::parts_of(tx, tenant, ids).await?;
    Board::open(tx, tenant, sending::places_of(&parts), (&[], ids)).await
}

fn chosen<'a>(board: &'a Board, ids: &'a [String]) -> impl Iterator<Item = PartRow> + 'a {
    ids.iter().flat_map(|id| board.parts_of(id))
}

async fn finish(
    tx: &mut Tx,
    mut board: Board,
    (ids, now_ms): (&[String], i64),
    wanted: Status,
) -> Result<usize, Error> {
    let order_no = board.deliveries.values().map(|row| row.order_no).max().unwrap_or(0);
    let earliest: Vec<(&String, i64)> =
        ids.iter().filter_map(|id| Some((id, acts::earliest(board.deliveries.get(id)?, now_ms)))).collect();
    board.settle_down(Moment { now_ms, order_no });
    // What may have happened is looked up in its own time, whoever asks.
    for (id, earliest_ms) in earliest {
        if let Some(row) = board.deliveries.get_mut(id).filter(|row| row.status == Status::Waiting) {
            row.due_ms = row.due_ms.max(earliest_ms);
        }
    }
    board.save(tx).await?;
    let reached = |id: &&String| board.deliveries.get(*id).is_some_and(|row| row.status == wanted);
    Ok(ids.iter().filter(reached).count())
}
