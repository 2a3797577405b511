//! Where the agents of a swarm stood: one packed row for each swarm.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 4 | number of positions, u32 little-endian |
//! | 5 + 16 n | 4 | slot, u32 little-endian |
//! | 9 + 16 n | 12 | x, y, z, f32 little-endian, layout units |

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::connection::{AnyConnection, on_rows};
use super::schema::layout_snapshots;
use super::types::{Id, Ts};
use super::{ROWS_PER_STATEMENT, StoreError, StoreResult, swarms};
use crate::domain::{SwarmId, Timestamp};

/// Most positions of one snapshot.
pub const SNAPSHOT_POSITIONS_MAX: usize = 65_536;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const POSITION_BYTES: usize = 16;

/// Where the agents of one swarm stood at one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The swarm.
    pub swarm_id: SwarmId,
    /// The epoch that the slots belong to.
    pub epoch: u32,
    /// The tick of the layout.
    pub tick: u64,
    /// When.
    pub taken_at: Timestamp,
    /// Slot and position in layout units. Positions that are not finite are not kept.
    pub positions: Vec<(u32, [f32; 3])>,
}

#[derive(Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = layout_snapshots, treat_none_as_default_value = false)]
struct SnapshotRow {
    swarm_id: Id,
    epoch: i64,
    tick: i64,
    taken_at: Ts,
    positions: Vec<u8>,
}

fn pack(positions: &[(u32, [f32; 3])]) -> StoreResult<Vec<u8>> {
    let (size, max) = (positions.len(), SNAPSHOT_POSITIONS_MAX);
    if size > max {
        return Err(StoreError::TooLarge { what: "a layout snapshot", size, unit: "positions", max });
    }
    let finite = || positions.iter().filter(|(_, at)| at.iter().all(|x| x.is_finite()));
    let count = u32::try_from(finite().count()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + POSITION_BYTES * size);
    bytes.push(VERSION);
    bytes.extend(count.to_le_bytes());
    for (slot, at) in finite() {
        bytes.extend(slot.to_le_bytes());
        for x in at {
            bytes.extend(x.to_le_bytes());
        }
    }
    Ok(bytes)
}

fn unpack(bytes: &[u8]) -> Result<Vec<(u32, [f32; 3])>, String> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or("the header is cut")?;
    let [version, count @ ..] = *header;
    if version != VERSION {
        return Err(format!("version {version} is not known"));
    }
    let (records, rest) = body.as_chunks::<POSITION_BYTES>();
    if !rest.is_empty() || u32::try_from(records.len()) != Ok(u32::from_le_bytes(count)) {
        return Err(format!("{} bytes do not hold {} positions", body.len(), u32::from_le_bytes(count)));
    }
    records
        .iter()
        .map(|record| position(record).ok_or_else(|| "a position is not finite".to_owned()))
        .collect()
}

fn position(record: &[u8; POSITION_BYTES]) -> Option<(u32, [f32; 3])> {
    let mut words = record.as_chunks::<4>().0.iter().copied();
    let slot = u32::from_le_bytes(words.next()?);
    let mut number = || words.next().map(f32::from_le_bytes).filter(|x| x.is_finite());
    Some((slot, [number()?, number()?, number()?]))
}

/// Writes snapshots over older ones; those of swarms that are gone are left out. Within a write transaction.
pub(crate) fn save(conn: &mut AnyConnection, list: &[Snapshot]) -> StoreResult<usize> {
    let mut saved = 0;
    for chunk in list.chunks(ROWS_PER_STATEMENT) {
        let ids: Vec<Id> = chunk.iter().map(|snapshot| Id(snapshot.swarm_id.0)).collect();
        let there = swarms::existing(conn, &ids)?;
        let rows = chunk
            .iter()
            .filter(|snapshot| there.contains(&Id(snapshot.swarm_id.0)))
            .map(row)
            .collect::<StoreResult<Vec<SnapshotRow>>>()?;
        saved += on_rows!(conn, rows, |c, values| diesel::query_dsl::methods::FilterDsl::filter(
            diesel::insert_into(layout_snapshots::table)
                .values(values)
                .on_conflict(layout_snapshots::swarm_id)
                .do_update()
                .set((
                    layout_snapshots::epoch.eq(excluded(layout_snapshots::epoch)),
                    layout_snapshots::tick.eq(excluded(layout_snapshots::tick)),
                    layout_snapshots::taken_at.eq(excluded(layout_snapshots::taken_at)),
                    layout_snapshots::positions.eq(excluded(layout_snapshots::positions)),
                )),
            // one that was overtaken on its way must not win
            layout_snapshots::epoch.le(excluded(layout_snapshots::epoch)),
        )
        .execute(c))?;
    }
    Ok(saved)
}

fn row(snapshot: &Snapshot) -> StoreResult<SnapshotRow> {
    Ok(SnapshotRow {
        swarm_id: Id(snapshot.swarm_id.0),
        epoch: snapshot.epoch.into(),
        tick: i64::try_from(snapshot.tick).unwrap_or(i64::MAX),
        taken_at: Ts(snapshot.taken_at),
        positions: pack(&snapshot.positions)?,
    })
}

/// The latest snapshot of a swarm.
pub(crate) fn load(conn: &mut AnyConnection, id: SwarmId) -> StoreResult<Option<Snapshot>> {
    let row =
        layout_snapshots::table.find(Id(id.0)).select(SnapshotRow::as_select()).first(conn).optional()?;
    row.map(read).transpose()
}

/// The latest snapshots of all swarms; one that can't be read is counted and left out, since a layout can
/// always be made anew.
pub(crate) fn load_all(conn: &mut AnyConnection) -> StoreResult<Vec<Snapshot>> {
    let rows: Vec<SnapshotRow> = layout_snapshots::table.select(SnapshotRow::as_select()).load(conn)?;
    Ok(rows.into_iter().map(read).filter_map(|read| read.inspect_err(note_corrupt).ok()).collect())
}

fn note_corrupt(error: &StoreError) {
    metrics::counter!("visionflow_store_corrupt_rows_total", "table" => "layout_snapshots").increment(1);
    tracing::error!(error = %error, "a layout snapshot can't be read");
}

fn read(row: SnapshotRow) -> StoreResult<Snapshot> {
    let id = row.swarm_id.0;
    let corrupt = |why: String| StoreError::corrupt("layout_snapshots", id, why);
    Ok(Snapshot {
        swarm_id: SwarmId(id),
        epoch: u32::try_from(row.epoch).map_err(|error| corrupt(format!("epoch: {error}")))?,
        tick: u64::try_from(row.tick).map_err(|error| corrupt(format!("tick: {error}")))?,
        taken_at: row.taken_at.0,
        positions: unpack(&row.positions).map_err(corrupt)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_come_back_bit_for_bit(positions in prop::collection::vec((any::<u32>(), prop::array::uniform3(-1e30f32..1e30)), 0..300)) {
            prop_assert_eq!(unpack(&pack(&positions).unwrap()).unwrap(), positions);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(positions) = unpack(&bytes) {
                prop_assert_eq!(bytes.len(), HEADER_BYTES + POSITION_BYTES * positions.len());
            }
        }
    }

    #[test]
    fn positions_that_are_no_numbers_and_too_many_are_not_kept() {
        let packed = pack(&[(1, [0.0, f32::NAN, 0.0]), (2, [1.0, 2.0, 3.0])]).unwrap();
        assert_eq!(unpack(&packed).unwrap(), [(2, [1.0, 2.0, 3.0])]);
        let error = pack(&vec![(0, [0.0; 3]); SNAPSHOT_POSITIONS_MAX + 1]).unwrap_err();
        assert_eq!(error.to_string(), "a layout snapshot has 65537 positions; allowed: 65536");
    }
}
