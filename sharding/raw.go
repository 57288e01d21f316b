package sharding

import "database/sql"

// RawForTest is the shard's connections without any bracket. It is for tests that look at rows, or break them.
func (c *Cluster) RawForTest(s *Shard) *sql.DB { return s.pool.write }

// Plain is what a shard does without any of this package's care: the limit that a benchmark compares with.
type Plain struct {
	dialect Dialect
	db      *sql.DB
}

// Plain returns the shard's plain limit. Its writes go to a table of their own.
func (c *Cluster) Plain(s *Shard) Plain { return Plain{s.pool.dialect, s.pool.write} }
