package sharding

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ShardStatus is what a shard holds and how it stands. Sizes are estimates: they count copies that a move has left, and
// MySQL's statistics lag behind.
type ShardStatus struct {
	Shard      *Shard
	Epoch      int64
	CacheEpoch int64
	Seen       int64         // the highest epoch known of it, from meta or by this process; above Epoch it has lost transactions
	Buckets    map[State]int // how many are in each state
	Mapped     int           // how many the map gives it
	Tables     []TableSize   // estimates
	Bytes      int64         // estimate: tables and indexes; on SQLite the file
}

// TableSize is the estimated size of a table with its indexes. Rows is -1 where it would cost too much to know.
type TableSize struct {
	Name  string
	Rows  int64
	Bytes int64
}

// BucketRow is a row of bucket_state: where a bucket stands on one shard.
type BucketRow struct {
	Bucket            Bucket
	State             State
	Journal           bool
	MoveID, Token     int64
	Successor         ShardID // -1 for none
	ArchiveBound      int64   // milliseconds; rows older than that are archived
	ArchiveGeneration int64
}

// Status reads how a shard stands and how large the given tables are on it. The error is an UnavailableError when the
// shard is away.
func (c *Cluster) Status(ctx context.Context, shard *Shard, tables []string) (ShardStatus, error) {
	st := ShardStatus{Shard: shard, Buckets: map[State]int{}}
	err := shard.pool.read.QueryRowContext(ctx, `SELECT epoch, cache_epoch FROM shard_state WHERE id = 1`).Scan(&st.Epoch, &st.CacheEpoch)
	if err != nil {
		return st, shard.pool.wrap(fmt.Errorf("read shard_state: %w", err))
	}
	st.Seen = max(st.Epoch, shard.highest.Load())
	rows, err := c.BucketRows(ctx, shard)
	if err != nil {
		return st, err
	}
	for _, row := range rows {
		st.Buckets[row.State]++
	}
	for _, s := range *c.placed.Load() {
		if s == shard.id {
			st.Mapped++
		}
	}
	if shard.pool.dialect.sqlite {
		err = shard.sqliteSizes(ctx, &st, tables)
	} else {
		err = shard.mysqlSizes(ctx, &st, tables)
	}
	if err != nil {
		return st, shard.pool.wrap(fmt.Errorf("estimate sizes: %w", err))
	}
	return st, nil
}

// BucketRows lists the buckets that a shard has a row of, in order, whatever their state.
func (c *Cluster) BucketRows(ctx context.Context, shard *Shard) ([]BucketRow, error) {
	rows, err := shard.pool.read.QueryContext(ctx, `
		SELECT bucket, state, journal, move_id, token, successor, archive_bound, archive_generation
		FROM bucket_state ORDER BY bucket LIMIT ?`, MaxBuckets)
	if err != nil {
		return nil, shard.pool.wrap(fmt.Errorf("read bucket_state: %w", err))
	}
	defer func() { _ = rows.Close() }()
	var out []BucketRow
	for rows.Next() {
		var r BucketRow
		var journal int
		if err := rows.Scan(&r.Bucket, &r.State, &journal, &r.MoveID, &r.Token, &r.Successor, &r.ArchiveBound, &r.ArchiveGeneration); err != nil {
			return nil, err
		}
		r.Journal = journal != 0
		out = append(out, r)
	}
	return out, shard.pool.wrap(rows.Err())
}

func (s *Shard) mysqlSizes(ctx context.Context, st *ShardStatus, tables []string) error {
	rows, err := s.pool.read.QueryContext(ctx, `
		SELECT TABLE_NAME, COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0)
		FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME`, s.schema)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var t TableSize
		if err := rows.Scan(&t.Name, &t.Rows, &t.Bytes); err != nil {
			return err
		}
		st.Bytes += t.Bytes
		if slices.Contains(tables, t.Name) {
			st.Tables = append(st.Tables, t)
		}
	}
	return rows.Err()
}

// countedFile is up to which size a SQLite file is read through to count its rows: about a second's work.
const countedFile = 1 << 30

func (s *Shard) sqliteSizes(ctx context.Context, st *ShardStatus, tables []string) error {
	var pages, size int64
	err := s.pool.read.QueryRowContext(ctx, `SELECT page_count, page_size FROM pragma_page_count, pragma_page_size`).Scan(&pages, &size)
	if err != nil {
		return err
	}
	st.Bytes = pages * size
	index := map[string]int{}
	for _, name := range slices.Sorted(slices.Values(tables)) {
		index[name] = len(st.Tables)
		st.Tables = append(st.Tables, TableSize{Name: name, Rows: -1})
	}
	if st.Bytes > countedFile || len(tables) == 0 {
		return nil
	}
	rows, err := s.pool.read.QueryContext(ctx, `
		SELECT d.name, COALESCE(m.tbl_name, d.name), d.ncell, d.pgsize
		FROM dbstat d LEFT JOIN sqlite_schema m ON m.name = d.name
		WHERE d.aggregate = TRUE`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var tree, table string
		var cells, bytes int64
		if err := rows.Scan(&tree, &table, &cells, &bytes); err != nil {
			return err
		}
		at, wanted := index[table]
		if !wanted {
			continue
		}
		st.Tables[at].Bytes += bytes
		if tree == table { // a table without rowid is a tree of its own rows; the others are its indexes
			st.Tables[at].Rows = cells
		}
	}
	return rows.Err()
}

// countChunk is how many buckets one counting statement takes, so that none holds a snapshot for long.
const countChunk = 64

// CountBy counts, exactly, the rows of a table in the buckets that the shard has open, by the value of an integer
// column. Table and column are names from the program, never a user's text.
func (c *Cluster) CountBy(ctx context.Context, shard *Shard, table, column string) (map[int64]int64, error) {
	if !schemaName.MatchString(table) || !schemaName.MatchString(column) {
		return nil, fmt.Errorf("count rows: %q.%q is no column", table, column)
	}
	open, err := c.OpenBuckets(ctx, shard)
	if err != nil {
		return nil, err
	}
	counts := map[int64]int64{}
	for part := range slices.Chunk(open, countChunk) {
		found := map[int64]int64{}
		err := c.ReadShard(ctx, shard, part, func(ctx context.Context, r *Reader) error {
			clear(found)
			return countPart(ctx, r, table, column, part, found)
		})
		if err != nil {
			return nil, fmt.Errorf("count rows of %s: %w", table, err)
		}
		for value, n := range found {
			counts[value] += n
		}
	}
	return counts, nil
}

func countPart(ctx context.Context, r *Reader, table, column string, part []Bucket, into map[int64]int64) error {
	args := make([]any, len(part))
	for i, b := range part {
		args[i] = b
	}
	rows, err := r.shard.pool.read.QueryContext(ctx, `
		SELECT `+column+`, COUNT(*) FROM `+table+`
		WHERE bucket IN (?`+strings.Repeat(", ?", len(part)-1)+`)
		GROUP BY `+column, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var value, n int64
		if err := rows.Scan(&value, &n); err != nil {
			return err
		}
		into[value] = n
	}
	return rows.Err()
}

// Misplaced is a bucket that breaks the rule that each is open in exactly one shard and that the map names it.
type Misplaced struct {
	Bucket Bucket
	Open   []ShardID // the shards that have it open
	Mapped ShardID   // the shard that the map names
	Moving bool      // it has left one shard and not yet opened on the next: the one moment in which it may be nowhere
}

// String says what is wrong.
func (m Misplaced) String() string {
	switch {
	case m.Moving:
		return fmt.Sprintf("bucket %d has left its shard and is not open on the next one", m.Bucket)
	case len(m.Open) == 0:
		return fmt.Sprintf("bucket %d is open nowhere", m.Bucket)
	case len(m.Open) > 1:
		return fmt.Sprintf("bucket %d is open on shards %v", m.Bucket, m.Open)
	}
	return fmt.Sprintf("bucket %d is open on shard %d, and the map says %d", m.Bucket, m.Open[0], m.Mapped)
}

// Cover checks that every bucket is open in exactly one shard and that the map agrees. What a move changes while it looks
// is looked at again.
func (c *Cluster) Cover(ctx context.Context) ([]Misplaced, error) {
	var found []Misplaced
	for range 3 {
		if err := c.Refresh(ctx); err != nil {
			return nil, err
		}
		var err error
		if found, err = c.coverOnce(ctx); err != nil || len(found) == 0 {
			return nil, err
		}
		if err := sleep(ctx, 20*fencePoll); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (c *Cluster) coverOnce(ctx context.Context) ([]Misplaced, error) {
	open := make([][]ShardID, c.buckets)
	leaving := make([]bool, c.buckets)
	for _, s := range c.shards {
		rows, err := c.BucketRows(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			switch {
			case int(row.Bucket) >= c.buckets || row.Bucket < 0:
				return nil, fmt.Errorf("%s has a row of bucket %d, of which there are %d", s, row.Bucket, c.buckets)
			case row.State.writable() || row.State == StateFenced:
				open[row.Bucket] = append(open[row.Bucket], s.id)
			case row.State == StateIncoming:
				leaving[row.Bucket] = true
			}
		}
	}
	placed := *c.placed.Load()
	var found []Misplaced
	for b, on := range open {
		if len(on) != 1 || on[0] != placed[b] {
			found = append(found, Misplaced{Bucket: Bucket(b), Open: on, Mapped: placed[b], Moving: len(on) == 0 && leaving[b]})
		}
	}
	return found, nil
}

// SequenceEnd returns the number after the last one that a sequence has given out to anybody; 1 where it has given none.
func (c *Cluster) SequenceEnd(ctx context.Context, name string) (int64, error) {
	var next int64
	err := c.meta.read.QueryRowContext(ctx, `SELECT next FROM sequence WHERE name = ?`, []byte(name)).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return 1, nil
	}
	if err != nil {
		return 0, c.meta.wrap(fmt.Errorf("read sequence %s: %w", name, err))
	}
	return next, nil
}

// JobRow is a row of meta's list of jobs: the long commands of operators, with where they stand.
type JobRow struct {
	Name       string
	Holder     string // who runs it; "" for nobody
	LeaseUntil int64  // milliseconds; a holder that has not renewed it by then has died
	Checkpoint string
	UpdatedMS  int64
}

// Jobs lists the jobs that have ever run, by name.
func (c *Cluster) Jobs(ctx context.Context) ([]JobRow, error) {
	var all []JobRow
	for after := ""; ; {
		page, err := c.jobsAfter(ctx, after)
		if err != nil {
			return nil, c.meta.wrap(fmt.Errorf("read jobs: %w", err))
		}
		if all = append(all, page...); len(page) < jobPage {
			return all, nil
		}
		after = page[len(page)-1].Name
	}
}

// jobPage bounds the rows of one statement.
const jobPage = 1000

func (c *Cluster) jobsAfter(ctx context.Context, after string) ([]JobRow, error) {
	rows, err := c.meta.read.QueryContext(ctx, `
		SELECT name, holder, lease_until, checkpoint, updated_ms FROM job WHERE name > ? ORDER BY name LIMIT ?`, []byte(after), jobPage)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []JobRow
	for rows.Next() {
		var name, holder, checkpoint []byte
		var j JobRow
		if err := rows.Scan(&name, &holder, &j.LeaseUntil, &checkpoint, &j.UpdatedMS); err != nil {
			return nil, err
		}
		j.Name, j.Holder, j.Checkpoint = string(name), string(holder), string(checkpoint)
		out = append(out, j)
	}
	return out, rows.Err()
}
